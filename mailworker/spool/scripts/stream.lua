-- What all keys begin with, how a time is written, and how a mail comes into its stream.

local P = KEYS[1]

local function stamp(seconds)
  return string.format('%.6f', seconds)
end

-- Puts a mail into its stream, ready at a time (as text); a stream that is new waits for its turn.
local function into_stream(row, stream, group, id, time)
  redis.call('ZADD', P .. 'due:' .. row .. ':' .. stream, time, id)
  if redis.call('SADD', P .. 'streams:' .. row, stream) == 1 then
    redis.call('ZADD', P .. 'waiting:' .. row, time, stream)
    if group then
      redis.call('SADD', P .. 'places:' .. group, 'due ' .. row .. '\n' .. stream)
    end
  else
    redis.call('ZADD', P .. 'waiting:' .. row, 'XX', 'LT', time, stream)
  end
  redis.call('ZADD', P .. 'soon', 'LT', time, row)
end
