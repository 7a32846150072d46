-- How fast the mails of a group may go, and when: kept beside its gate.

-- Args: rate or "", burst, and the windows that are to come, each as "opens closes".
local function set_timetable(group, rate, burst, windows)
  local gate, following = P .. 'group:' .. group, P .. 'windows:' .. group
  redis.call('HDEL', gate, 'rate', 'burst', 'full', 'opens', 'closes')
  redis.call('DEL', following)
  if rate ~= '' then
    redis.call('HSET', gate, 'rate', rate, 'burst', burst)
  end
  if #windows > 0 then
    -- One that is over: the first look takes the next from the list.
    redis.call('HSET', gate, 'opens', 0, 'closes', 0)
    for first = 1, #windows, 1000 do
      redis.call('RPUSH', following, unpack(windows, first, math.min(first + 999, #windows)))
    end
  end
end
