-- needs: clock stream record shelf sweep
-- ARGV: retention, group. Opens a group's gate after a pause or a cancellation; it looks at the group's streams, not at mails.

local group = ARGV[2]
redis.call('HDEL', P .. 'group:' .. group, 'paused', 'cancelled')
redis.call('SREM', P .. 'shut', group)
local turn = tonumber(redis.call('GET', P .. 'turn') or 0)
local rows = {}
for _, place in ipairs(redis.call('SMEMBERS', P .. 'places:' .. group)) do
  local row, stream = string.match(place, '^due (.-)\n(.*)$')
  if row then
    rows[row] = true
  end
end
for row in pairs(rows) do
  -- In the order in which they were parked.
  local parked = P .. 'by-group:' .. row .. ':' .. group
  for _, stream in ipairs(redis.call('ZRANGE', parked, 0, -1)) do
    turn = turn + 1
    redis.call('ZADD', P .. 'turns:' .. row, turn, stream)
  end
  redis.call('DEL', parked)
  sooner(row, now)
end
redis.call('SET', P .. 'turn', turn)
forget_group_if_empty(group)
return 1
