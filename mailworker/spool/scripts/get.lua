-- needs: clock stream record shelf
-- ARGV: retention, id. Returns the record as it stands now and, while it is due, since or from when; nothing if it is not
-- known, one word alone if its record
-- cannot be read.

local mail, broken = find(ARGV[2])
write_counts()
if broken then
  return { '' }
elseif not mail then
  return false
end
return { packed(mail), state_of(mail) == DUE and stamp(mail.at or score_of(mail)) or '' }
