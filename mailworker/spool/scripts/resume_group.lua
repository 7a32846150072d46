-- needs: clock record shelf
-- ARGV: retention, group. Opens a group's gate after a pause or a cancellation; it looks at the group's streams, not at mails.

local group = ARGV[2]
redis.call('HDEL', P .. 'group:' .. group, 'paused', 'cancelled')
local turn = tonumber(redis.call('GET', P .. 'turn') or 0)
for _, place in ipairs(redis.call('SMEMBERS', P .. 'places:' .. group)) do
  local row, stream = string.match(place, '^due (.-)\n(.*)$')
  if row then
    if redis.call('ZREM', P .. 'by-group:' .. row .. ':' .. group, stream) == 1 then
      turn = turn + 1
      redis.call('ZADD', P .. 'turns:' .. row, turn, stream)
    end
    sooner(row, now)
  end
end
redis.call('SET', P .. 'turn', turn)
forget_group_if_empty(group)
return 1
