-- needs: clock stream
-- ARGV: -, seconds to look ahead, mailers that the worker knows (JSON, "" = all), 1 = leave out what a wake-up is on its
-- way for, lane...
-- Returns now, the mailers that it does not know and that have something ready in these lanes, and for each lane the seconds
-- until it may have something, or "". A lane that has something ready and a wake-up on its way waits for the end of its flag:
-- if nobody has come by then, the wake-up is lost.
-- The look of an idle worker: two commands, however much is in the spool.

local known
if ARGV[3] ~= '' then
  known = {}
  for _, mailer in ipairs(cjson.decode(ARGV[3])) do
    known[mailer] = true
  end
end
local asked = {}
for i = 5, #ARGV do
  asked[ARGV[i]] = true
end

local soonest, strangers, met = {}, {}, {}
local ahead = redis.call('ZRANGEBYSCORE', P .. 'soon', '-inf', stamp(now + tonumber(ARGV[2])), 'WITHSCORES')
for i = 1, #ahead, 2 do
  local row, at = ahead[i], tonumber(ahead[i + 1])
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  if not known or known[mailer] then
    soonest[lane] = math.min(soonest[lane] or math.huge, math.max(at - now, 0))
  elseif asked[lane] and at <= now and not met[mailer] then
    -- A row that nobody looks at keeps its time, also when its mails are gone.
    if redis.call('EXISTS', P .. 'streams:' .. row, P .. 'leases:' .. row) > 0 then
      met[mailer] = true
      strangers[#strangers + 1] = mailer
    end
  end
end

local answer = { stamp(now), strangers }
for i = 5, #ARGV do
  local wait = soonest[ARGV[i]]
  if wait == 0 and ARGV[4] == '1' then
    wait = math.max(redis.call('PTTL', P .. 'wake:' .. ARGV[i]), 0) / 1000
  end
  answer[#answer + 1] = wait and stamp(wait) or ''
end
return answer
