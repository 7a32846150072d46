-- needs: clock record shelf
-- ARGV: retention, id. Returns the record as it stands now and, while it is due, since or from when; false if it is not known.

local mail = find(ARGV[2])
write_counts()
if not mail then
  return false
end
local ready_at = ''
if state_of(mail) == DUE then
  ready_at = redis.call('ZSCORE', P .. 'due:' .. mail.row .. ':' .. mail.stream, mail.id) or ''
end
return { packed(mail), ready_at }
