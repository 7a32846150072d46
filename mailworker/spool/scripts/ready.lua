-- needs: clock stream
-- ARGV: -, seconds to look ahead, mailers that the worker knows (JSON, "" = all), 1 = leave out what a wake-up is on its
-- way for, mailers with limited sessions -> how many (JSON, "" = none), slot or "", lane...
-- Returns now, the mailers that it does not know and that have something ready in these lanes, and for each lane the seconds
-- until it may have something, or "". A lane that has something ready and a wake-up on its way waits for the end of its flag:
-- if nobody has come by then, the wake-up is lost. Mail of a mailer whose seats are all taken is ready for a slot that has one
-- of them; for anybody else when the first seat ends, if nobody gives one up before: whoever does looks here again.
-- The look of an idle worker: two commands, however much is in the spool.

local known
if ARGV[3] ~= '' then
  known = {}
  for _, mailer in ipairs(cjson.decode(ARGV[3])) do
    known[mailer] = true
  end
end
local sessions = ARGV[5] ~= '' and cjson.decode(ARGV[5]) or {}
local slot, first_lane = ARGV[6], 7

-- Seconds until the slot may have a seat of a mailer with so many.
local function seat_wait(mailer, seats)
  local taken, after = P .. 'sessions:' .. mailer, '(' .. stamp(now)
  local own = slot ~= '' and tonumber(redis.call('ZSCORE', taken, slot) or nil)
  if (own and own > now) or redis.call('ZCOUNT', taken, after, '+inf') < seats then
    return 0
  end
  return tonumber(redis.call('ZRANGEBYSCORE', taken, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]) - now
end

local asked = {}
for i = first_lane, #ARGV do
  asked[ARGV[i]] = true
end

local soonest, strangers, met = {}, {}, {}
local ahead = redis.call('ZRANGEBYSCORE', P .. 'soon', '-inf', stamp(now + tonumber(ARGV[2])), 'WITHSCORES')
for i = 1, #ahead, 2 do
  local row, at = ahead[i], tonumber(ahead[i + 1])
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  if not known or known[mailer] then
    local wait = math.max(at - now, sessions[mailer] and seat_wait(mailer, sessions[mailer]) or 0, 0)
    if wait <= tonumber(ARGV[2]) then
      soonest[lane] = math.min(soonest[lane] or math.huge, wait)
    end
  elseif asked[lane] and at <= now and not met[mailer] then
    -- A row that nobody looks at keeps its time, also when its mails are gone.
    if redis.call('EXISTS', P .. 'streams:' .. row, P .. 'leases:' .. row) > 0 then
      met[mailer] = true
      strangers[#strangers + 1] = mailer
    end
  end
end

local answer = { stamp(now), strangers }
for i = first_lane, #ARGV do
  local wait = soonest[ARGV[i]]
  if wait == 0 and ARGV[4] == '1' then
    wait = math.max(redis.call('PTTL', P .. 'wake:' .. ARGV[i]), 0) / 1000
  end
  answer[#answer + 1] = wait and stamp(wait) or ''
end
return answer
