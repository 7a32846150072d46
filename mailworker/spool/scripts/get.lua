-- needs: clock record shelf
-- ARGV: retention, id. Returns the record as it stands now and, while it is due, since or from when; nothing if it is not
-- known, its raw bytes alone if they cannot be read.

local mail, broken = find(ARGV[2])
write_counts()
if broken then
  return { loaded(ARGV[2]).payload }
elseif not mail then
  return false
end
local ready_at = ''
if state_of(mail) == DUE then
  ready_at = redis.call('ZSCORE', P .. 'due:' .. mail.row .. ':' .. mail.stream, mail.id) or ''
end
return { packed(mail), ready_at }
