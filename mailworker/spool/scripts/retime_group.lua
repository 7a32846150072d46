-- needs: clock stream outcomes record shelf timetable opening
-- ARGV: retention, group, plan (JSON), rate or "", burst, "opens closes"... Returns 1, or 0 if it is no bulk.

local group = ARGV[2]
if redis.call('HEXISTS', P .. 'bulk:' .. group, 'plan') == 0 then
  return 0
end
redis.call('HSET', P .. 'bulk:' .. group, 'plan', ARGV[3])
if redis.call('EXISTS', P .. 'letter:' .. group) == 1 then
  set_timetable(group, ARGV[4], ARGV[5], { unpack(ARGV, 6) })
  open_streams(group)
end
return 1
