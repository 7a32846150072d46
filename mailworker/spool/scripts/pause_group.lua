-- needs: stream
-- ARGV: -, group, reason. Closes a group's gate: its streams have no turn.

local gate = P .. 'group:' .. ARGV[2]
redis.call('HDEL', gate, 'why', 'itself')
redis.call('HSET', gate, 'paused', 1)
if ARGV[3] ~= '' then
  redis.call('HSET', gate, 'why', ARGV[3])
end
redis.call('SADD', P .. 'shut', ARGV[2])
return 1
