-- needs: clock stream record shelf gates
-- ARGV: retention, id, token, word, until, outcomes (JSON), 1 = a resend in doubt, reason, rate or "", domain's rate or "",
-- 1 = a dead mail is kept even if it is to fail silently.
-- The five words that end a lease: done, defer, snooze, bury, hold. Returns 1 if it counts, or has counted already.

local ACCEPTED, IN_DOUBT = 'a', 'i'
local id, token, word, until_ = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local outcomes, is_resend, reason = cjson.decode(ARGV[6]), ARGV[7] == '1', ARGV[8]
local rate, domain_rate = tonumber(ARGV[9]), tonumber(ARGV[10])

local function class_of(outcome)
  return string.sub(outcome, 1, 1)
end

-- Writes outcomes over the known ones, except that an acceptance stays for ever; tells whether one is in doubt.
local function merge(head, said)
  local doubtful = false
  for recipient, outcome in pairs(said) do
    head.out = head.out or {}
    local known = head.out[recipient]
    if not known or class_of(known) ~= ACCEPTED then
      head.out[recipient] = outcome
    end
    doubtful = doubtful or class_of(outcome) == IN_DOUBT
  end
  return doubtful
end

local function is_accepted_throughout(head)
  for _, outcome in pairs(head.out or {}) do
    if class_of(outcome) ~= ACCEPTED then
      return false
    end
  end
  return head.out ~= nil
end

local function heard(head)
  local doubtful = merge(head, outcomes)
  if head.k then
    head.p = nil
  end
  if doubtful or is_resend then
    head.i = 1
  end
  if is_resend then
    head.r = (head.r or 0) + 1
  end
  head.u = reason ~= '' and reason or nil
end

-- As if the lease had never been; the pause does not count as waiting.
local function refunded(head)
  if head.k then
    head.a = head.a > 1 and head.a - 1 or nil
  end
  if not head.a then
    head.a1 = nil
  elseif head.a1 then
    local pause = math.max(until_ - now, 0)
    if pause > 0 then
      head.n = stamp(tonumber(head.n or 0) + pause)
    end
  end
end

local function postponed(mail)
  mail.head.d = stamp(until_)
  make_due(mail, until_)
end

local moves = {
  done = function(mail) finish(mail, 'sent') end,
  defer = postponed,
  snooze = postponed,
  bury = function(mail) make_dead(mail, ARGV[11] == '1') end,
  hold = make_held,
}

local function take_away(mail, unsent)
  if state_of(mail) == LEASED then
    leave_gates(mail, unsent, rate, domain_rate)
  end
  take_lapse(mail)
end

-- What a worker without a lease knows for certain is who was accepted. If that is everybody, the mail is sent, wherever it
-- stood; if it is somebody, a newer lease whose work has not begun is void, since its worker would try them again.
local function hear_late(mail)
  local head = mail.head
  local news, any = {}, false
  for recipient, outcome in pairs(outcomes) do
    local known = head.out and head.out[recipient]
    if class_of(outcome) == ACCEPTED and not (known and class_of(known) == ACCEPTED) then
      news[recipient], any = outcome, true
    end
  end
  merge(head, news)
  if word == 'done' and is_accepted_throughout(head) and state_of(mail) ~= 'sent' then
    take_away(mail, not head.k)
    finish(mail, 'sent')
    save(mail)
  elseif any then
    if state_of(mail) == LEASED and not head.k then
      take_away(mail, true)
      make_due(mail, now)
    end
    save(mail)
  end
end

local mail = find(id)
local fine = 0
if mail then
  local head = mail.head
  if head.t == token and not head.y then
    leave_gates(mail, word == 'snooze', rate, domain_rate)
    if word == 'snooze' then
      refunded(head)
    else
      heard(head)
      head.b = nil
    end
    head.k, head.z, head.y = nil, nil, word
    if next(outcomes) and is_accepted_throughout(head) then
      head.u = nil
      finish(mail, 'sent')
    else
      moves[word](mail)
    end
    save(mail)
    fine = 1
  elseif head.t == token and head.y == word then
    -- The same word again: the answer to the first one was lost.
    fine = 1
  else
    hear_late(mail)
  end
end
write_counts()
return fine
