-- needs: clock stream outcomes record shelf sweep opening
-- ARGV: retention, name, number of the fill ("" = whichever), rows read, rows refused, milliseconds of a wake-up's flag (0: wake
-- nobody), lane. Opens the gate after the last row, unless another fill keeps it closed. Returns 1 if a worker has to be woken, -1 if
-- it is no bulk.

local name = ARGV[2]
local bulk = P .. 'bulk:' .. name
if redis.call('HEXISTS', bulk, 'plan') == 0 then
  return -1
end
redis.call('HINCRBY', bulk, 'read', ARGV[4])
redis.call('HINCRBY', bulk, 'bad', ARGV[5])
local filling = redis.call('HGET', P .. 'group:' .. name, 'filling')
if filling and ARGV[3] ~= '' and filling ~= ARGV[3] then
  return 0
end
redis.call('HSET', bulk, 'filled', stamp(now))
redis.call('HDEL', P .. 'group:' .. name, 'filling')
note_gate(name)
open_streams(name)
forget_group_if_empty(name)
return ARGV[6] ~= '0' and redis.call('SET', P .. 'wake:' .. ARGV[7], 1, 'NX', 'PX', ARGV[6]) and 1 or 0
