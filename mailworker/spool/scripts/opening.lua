-- Gives the streams of a group a turn, or a look, when its gate may have opened; it looks at streams, not at mails.

local function open_streams(group)
  local turn = tonumber(redis.call('GET', P .. 'turn') or 0)
  local rows = {}
  for _, place in ipairs(redis.call('SMEMBERS', P .. 'places:' .. group)) do
    local row, stream = string.match(place, '^due (.-)\n(.*)$')
    if row then
      rows[row] = true
      -- One that waits for its gate's time; one that waits for its mails' time is put back.
      redis.call('ZADD', P .. 'waiting:' .. row, 'XX', 'LT', stamp(now), stream)
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
end

-- Takes a group off the list of those that are shut, if it is not any more.
local function note_gate(group)
  local known = redis.call('HMGET', P .. 'group:' .. group, 'paused', 'filling', 'cancelled')
  if not (known[1] or known[2] or known[3]) then
    redis.call('SREM', P .. 'shut', group)
  end
end
