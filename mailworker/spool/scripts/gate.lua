-- needs: clock
-- ARGV: -, mailer, 1 = its sessions are limited. Returns now, the mailer's gate, and how many seats are taken.

local at = string.format('%.6f', now)
local taken = ARGV[3] == '1' and redis.call('ZCOUNT', KEYS[1] .. 'sessions:' .. ARGV[2], '(' .. at, '+inf') or 0
return { at, redis.call('HGETALL', KEYS[1] .. 'gate:' .. ARGV[2]), taken }
