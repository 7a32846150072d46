-- needs: clock stream outcomes record shelf gates
-- ARGV: retention, id, token, lease, rate or "", domain's rate or "", slot or "".
-- Returns 1 if the work may begin.

local mail = find(ARGV[2])
local fine = 0
if mail and state_of(mail) == LEASED and mail.head.t == ARGV[3] then
  local head = mail.head
  if not head.k and is_called_back(mail) then
    leave_gates(mail, true, tonumber(ARGV[5]), tonumber(ARGV[6]))
    finish(mail, 'cancelled')
    -- Its worker has no more to say, unless somebody was accepted.
    head.t = nil
    save(mail)
  else
    if not head.k then
      head.a = (head.a or 0) + 1
      head.a1 = head.a1 or stamp(now)
      head.k = 1
      save(mail)
    end
    extend(mail, now + tonumber(ARGV[4]), ARGV[7])
    fine = 1
  end
end
write_counts()
return fine
