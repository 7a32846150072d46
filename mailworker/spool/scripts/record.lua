-- One mail is one string: its head in JSON, a line feed, and its payload as the codec wrote it.
--
-- The head (what is not set is left out; cjson keeps 14 digits, so times are text, seconds with 6 decimals):
--   v   version of this layout          l   lane               m   mailer
--   c   created_at                      d   due_at, if it is not c
--   e   expires_at                      q   1 = fails silently h   1 = on_in_doubt is "hold"
--   g   group                           o   the group's epoch when the mail came in
--   w   domain of all recipients        cd  the same, if that domain has limits
--   x   names of the contents that are kept apart
--   s   state, if it is not "due"       f   finished_at
--   t   token of the last lease         y   the word that ended it
--   k   1 = that lease has begun work   z   1 = that lease ran out, and nobody has taken the mail over
--   pb  1 = that lease is its mailer's probe
--   b   1 = an earlier lease had begun work and was never heard of again
-- and the ledger:
--   a   attempts        a1  first_attempt_at   n   snoozed    p   lapses
--   i   1 = in doubt    r   resends in doubt   u   reason     out recipient -> outcome, its class as the first letter

local P = KEYS[1]
local VERSION = 1

local function stamp(seconds)
  return string.format('%.6f', seconds)
end

local function row_of(head)
  return head.l .. '/' .. head.m
end

local function stream_of(head)
  return (head.cd or '') .. '/' .. (head.g or '')
end

-- A mail as the scripts handle it; `broken` says why its head cannot be used.
local function opened(id, raw)
  local cut = string.find(raw, '\n', 1, true)
  local fine, head = false, nil
  if cut then
    fine, head = pcall(cjson.decode, string.sub(raw, 1, cut - 1))
  end
  if not fine or type(head) ~= 'table' then
    return { id = id, payload = raw, broken = 'its record cannot be read' }
  end
  if head.v ~= VERSION then
    local version = tostring(head.v)
    return { id = id, payload = raw, broken = 'its record is of version ' .. version .. ', expected ' .. VERSION }
  end
  if type(head.l) ~= 'string' or type(head.m) ~= 'string' or type(head.c) ~= 'string' then
    return { id = id, payload = raw, broken = 'its record says neither lane nor mailer nor time' }
  end
  return { id = id, head = head, payload = string.sub(raw, cut + 1), row = row_of(head), stream = stream_of(head) }
end

local function loaded(id)
  local raw = redis.call('GET', P .. 'm:' .. id)
  return raw and opened(id, raw) or nil
end

local function packed(mail)
  return cjson.encode(mail.head) .. '\n' .. mail.payload
end

local function save(mail)
  redis.call('SET', P .. 'm:' .. mail.id, packed(mail))
end
