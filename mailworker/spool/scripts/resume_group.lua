-- needs: clock stream outcomes record shelf sweep opening
-- ARGV: retention, group. Opens a group's gate after a pause or a cancellation; one that is being filled stays shut until its last
-- row has come.

local group = ARGV[2]
redis.call('HDEL', P .. 'group:' .. group, 'paused', 'cancelled', 'why', 'itself')
redis.call('DEL', P .. 'bounces:' .. group)
note_gate(group)
open_streams(group)
forget_group_if_empty(group)
return 1
