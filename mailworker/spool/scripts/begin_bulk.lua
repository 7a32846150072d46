-- needs: clock stream outcomes timetable
-- ARGV: -, name, digest of the letter, 1 = mails go while rows still come in, plan (JSON), letter, bounces allowed or "", bounce
-- window, rate or "", burst, "opens closes"...
-- Begins a bulk, or a further fill of one that is known and has this letter; of any other nothing changes. Returns now, and the number
-- of this fill, 0 if it may not be filled.

local name = ARGV[2]
local bulk, gate = P .. 'bulk:' .. name, P .. 'group:' .. name
local digest = redis.call('HGET', bulk, 'digest')
local of_gate = redis.call('HMGET', gate, 'cancelled', 'filling', 'paused')
-- One without rows is as good as none; whoever fills it just now goes on if it says the same.
local is_empty = tonumber(redis.call('HGET', bulk, 'rows') or 0) == 0
local is_new = not digest or (is_empty and (not of_gate[2] or digest ~= ARGV[3]))
if of_gate[1] or (not is_new and (digest ~= ARGV[3] or tonumber(redis.call('HGET', bulk, 'forgotten') or 0) > 0)) then
  return { stamp(now), 0 }
end
local fill = tonumber(redis.call('HGET', bulk, 'fills') or 0) + 1
if is_new then
  redis.call('DEL', bulk)
  redis.call('HSET', bulk, 'plan', ARGV[5], 'digest', ARGV[3], 'created', stamp(now), 'first', fill)
  if ARGV[7] ~= '' then
    redis.call('HSET', bulk, 'max_bounces', ARGV[7], 'bounce_window', ARGV[8])
  end
  redis.call('ZADD', P .. 'bulks', stamp(now), name)
  set_timetable(name, ARGV[9], ARGV[10], { unpack(ARGV, 11) })
end
redis.call('HSET', bulk, 'fills', fill)
redis.call('HDEL', bulk, 'filled')
redis.call('SET', P .. 'letter:' .. name, ARGV[6])
if ARGV[4] ~= '1' or (of_gate[2] and not is_new) then
  -- The last one that has begun opens it.
  redis.call('HSET', gate, 'filling', fill)
  redis.call('SADD', P .. 'shut', name)
else
  redis.call('HDEL', gate, 'filling')
  if not of_gate[3] then
    redis.call('SREM', P .. 'shut', name)
  end
end
return { stamp(now), fill }
