-- needs: stream
-- ARGV: -, group. Closes a group's gate: its streams have no turn.

redis.call('HSET', P .. 'group:' .. ARGV[2], 'paused', 1)
redis.call('SADD', P .. 'shut', ARGV[2])
return 1
