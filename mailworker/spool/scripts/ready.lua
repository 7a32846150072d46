-- needs: clock
-- ARGV: -, seconds to look ahead, lane... Returns now and, for each lane, seconds until it may have something, or "".
-- The look of an idle worker: two commands, however much is in the spool.

local ahead = redis.call('ZRANGEBYSCORE', KEYS[1] .. 'soon', '-inf', string.format('%.6f', now + tonumber(ARGV[2])), 'WITHSCORES')
local soonest = {}
for i = 1, #ahead, 2 do
  local lane = string.match(ahead[i], '^[^/]*')
  local wait = math.max(tonumber(ahead[i + 1]) - now, 0)
  if not soonest[lane] or wait < soonest[lane] then
    soonest[lane] = wait
  end
end
local answer = { string.format('%.6f', now) }
for i = 3, #ARGV do
  answer[i - 1] = soonest[ARGV[i]] and string.format('%.6f', soonest[ARGV[i]]) or ''
end
return answer
