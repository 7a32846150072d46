-- needs: clock stream outcomes record shelf
-- ARGV: retention, id, 1 = with its payload. Returns the record as it stands now, or its head with nothing behind it, and
-- while the mail is due, since or from when; nothing if it is not known, one word alone if its record cannot be read.

local is_whole = ARGV[3] == '1'
local mail, broken = find(ARGV[2], not is_whole)
write_counts()
if broken then
  return { '' }
elseif not mail then
  return false
end
local record = is_whole and packed(mail) or cjson.encode(mail.head) .. '\n'
return { record, state_of(mail) == DUE and stamp(mail.at or score_of(mail)) or '' }
