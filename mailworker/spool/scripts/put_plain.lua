-- needs: clock stream
-- ARGV: retention, id, due, milliseconds of a wake-up's flag (0: wake nobody), head, payload, lane, mailer, domain if it has
-- limits or "", created.
-- `put` for a mail of no group and without contents, which is what most are and what a caller waits for: it reads no head.
-- Returns as `put` does; -2 instead of 0 for an id that is known, about which `put` has to be asked.

local id, due, flag, lane = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[7]
if not redis.call('SET', P .. 'm:' .. id, ARGV[5] .. '\n' .. ARGV[6], 'NX') then
  return { -2, 0, stamp(now) }
end
local row = lane .. '/' .. ARGV[8]
if due <= tonumber(ARGV[10]) then
  -- By the clock of whoever composed it, it is due now; then it is by ours.
  due = math.min(due, now)
end
into_stream(row, ARGV[9] .. '/', nil, id, stamp(due))
redis.call('HINCRBY', P .. 'count', row .. '/due', 1)
local woken = 0
if flag > 0 and due <= now and redis.call('SET', P .. 'wake:' .. lane, 1, 'NX', 'PX', flag) then
  woken = 1
end
return { 1, woken, stamp(now) }
