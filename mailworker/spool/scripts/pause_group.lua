-- needs: stream
-- ARGV: -, group. Closes a group's gate: its streams have no turn.

redis.call('HSET', P .. 'group:' .. ARGV[2], 'paused', 1)
return 1
