-- needs: stream
-- ARGV: -, group. Returns the group's gate and counts.

return redis.call('HGETALL', P .. 'group:' .. ARGV[2])
