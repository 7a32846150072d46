-- How many mails of a bulk have which last outcome, by domain. They are counted where a record is written: nothing else
-- changes an outcome. What is forgotten stays counted.

-- Fields of one count; what is beyond them is counted together, under no domain.
local MAX_DOMAINS = 1000

local function count_outcome(group, domain, class, by)
  local key, field = P .. 'outcomes:' .. group, domain .. '\n' .. class
  if by < 0 and redis.call('HEXISTS', key, field) == 0 then
    redis.call('HINCRBY', key, '\n' .. class, by)
  elseif redis.call('HINCRBY', key, field, by) == by and redis.call('HLEN', key) > MAX_DOMAINS then
    redis.call('HDEL', key, field)
    redis.call('HINCRBY', key, '\n' .. class, by)
  end
end

-- The counts of a bulk that tell when it has begun and ended: to be called once the mail is counted where it stands now.
local function note_settled(group)
  local bulk = P .. 'bulk:' .. group
  if redis.call('EXISTS', bulk) == 0 then
    return
  end
  redis.call('HSETNX', bulk, 'began', stamp(now))
  local left = redis.call('HMGET', P .. 'group:' .. group, 'n:due', 'n:leased', 'n:held')
  if tonumber(left[1] or 0) + tonumber(left[2] or 0) + tonumber(left[3] or 0) == 0 then
    redis.call('HSET', bulk, 'ended', stamp(now))
  end
end
