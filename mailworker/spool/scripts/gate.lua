-- needs: clock
-- ARGV: -, mailer. Returns now and the mailer's gate.

return { string.format('%.6f', now), redis.call('HGETALL', KEYS[1] .. 'gate:' .. ARGV[2]) }
