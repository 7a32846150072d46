-- needs: clock stream outcomes record shelf
-- ARGV: retention, group. Takes back what is due or held of a group, whatever its number: the indexes are set aside whole,
-- and emptied a few mails at a time by later calls. It may have no mails yet.

local group = ARGV[2]
redis.call('HINCRBY', P .. 'group:' .. group, 'epoch', 1)
redis.call('HSET', P .. 'group:' .. group, 'cancelled', 1)
redis.call('SADD', P .. 'shut', group)

local function set_aside(index, kind, row, stream, state, number)
  local heap = kind .. ':' .. redis.call('INCR', P .. 'heaps')
  redis.call('RENAME', index, P .. heap)
  redis.call('RPUSH', P .. 'called-back', heap .. '\n' .. row .. '\n' .. stream)
  local mails = { row = row, head = { g = group } }
  counted(mails, state, -number)
  counted(mails, 'cancelled', number)
end

for _, place in ipairs(redis.call('SMEMBERS', P .. 'places:' .. group)) do
  local row, stream = string.match(place, '^due (.-)\n(.*)$')
  if row then
    local due = P .. 'due:' .. row .. ':' .. stream
    set_aside(due, 'due-back', row, stream, DUE, redis.call('ZCARD', due))
    close_stream(row, stream)
  else
    row = string.match(place, '^held (.*)$')
    local held = P .. 'held:' .. row .. ':' .. group
    set_aside(held, 'held-back', row, '', HELD, redis.call('SCARD', held))
    redis.call('SREM', P .. 'places:' .. group, place)
  end
end
write_counts()
return 1
