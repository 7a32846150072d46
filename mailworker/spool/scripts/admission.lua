-- Whether the gates let a mail pass: a person's pause, the breaker, the mailer's rate and the limits of its domains.
-- The rules are those of `gates.py`, `breaker.py` and `rate.py`.

local LATENESS, TICK = 0.05, 0.000001
local NEVER = math.huge

-- Mailers whose rate was taken from, which is written once, however many mails took from it.
local taken_from = {}

-- What the gates of groups say, read once a claim.
local group_gates = {}

local function write_rates()
  for mailer in pairs(taken_from) do
    redis.call('HSET', P .. 'gate:' .. mailer, 'full', gates[mailer].full)
  end
  for group, gate in pairs(group_gates) do
    if gate.is_taken_from then
      redis.call('HSET', P .. 'group:' .. group, 'full', exact(gate.full))
    end
  end
end

local function rate_wait(full_at, rate, burst)
  local left = (full_at or -NEVER) - (burst - 1) / rate - now
  return left > TICK and left or 0
end

local function rate_taken(full_at, rate)
  local interval = 1 / rate
  return math.max(full_at or -NEVER, now - math.min(interval / 2, LATENESS)) + interval
end

local function group_gate(group)
  local gate = group_gates[group]
  if not gate then
    local known = redis.call('HMGET', P .. 'group:' .. group, 'paused', 'filling', 'rate', 'burst', 'full', 'opens', 'closes')
    gate = { is_shut = known[1] or known[2], rate = tonumber(known[3] or nil), burst = tonumber(known[4] or nil) }
    gate.full, gate.opens, gate.closes = tonumber(known[5] or nil), tonumber(known[6] or nil), tonumber(known[7] or nil)
    group_gates[group] = gate
  end
  return gate
end

-- Seconds until a group's window opens: 0 if it is open, infinity if no more of them come.
local function window_wait(group, gate)
  if not gate.closes then
    return 0
  end
  local opens, closes = window_of(group, gate.opens, gate.closes)
  if not opens then
    return NEVER
  end
  gate.opens, gate.closes = opens, closes
  return math.max(opens - now, 0)
end

-- Seconds until a group's gate may let a mail pass: 0 now, infinity until a person says so, or its last row has come.
local function group_wait(group)
  if group == '' then
    return 0
  end
  local gate = group_gate(group)
  if gate.is_shut then
    return NEVER
  end
  local wait = window_wait(group, gate)
  if gate.rate then
    wait = math.max(wait, rate_wait(gate.full, gate.rate, gate.burst))
  end
  return wait
end

local function take_from_group(group)
  local gate = group ~= '' and group_gate(group)
  if gate and gate.rate then
    gate.full, gate.is_taken_from = rate_taken(gate.full, gate.rate), true
  end
end

-- Seconds until the mailer's gate may let a mail pass: 0 now, infinity only by a person's word.
local function gate_wait(mailer, limits)
  local gate = gate_of(mailer)
  if gate.person then
    return NEVER
  end
  local wait = 0
  if tonumber(gate.failures or 0) > 0 then
    if tonumber(gate.pause or 0) > now then
      wait = tonumber(gate.pause) - now
    elseif gate.probe and tonumber(gate.probe_ends) > now then
      wait = tonumber(gate.probe_ends) - now
    end
  end
  if limits.rate then
    wait = math.max(wait, rate_wait(tonumber(gate.full), limits.rate, limits.burst))
  end
  return wait
end

-- Seconds until a capped domain may take a mail; a lease that ends early makes it less.
local function domain_wait(mailer, domain, limits)
  local wait = 0
  local rate, seats = limits.domain_rate[domain], limits.domain_concurrency[domain]
  if rate then
    wait = rate_wait(tonumber(redis.call('HGET', P .. 'domain:' .. mailer, domain) or nil), rate, 1)
  end
  if seats then
    local taken = P .. 'seats:' .. mailer .. ':' .. domain
    redis.call('ZREMRANGEBYSCORE', taken, '-inf', stamp(now))
    if redis.call('ZCARD', taken) >= seats then
      local first = redis.call('ZRANGE', taken, 0, 0, 'WITHSCORES')
      wait = math.max(wait, tonumber(first[2]) - now)
    end
  end
  return wait
end

-- Seconds until a slot may have a seat of the mailer: 0 if it has one, or now; one that is given up makes it less.
local function seat_wait(mailer, limits, slot)
  if not limits.sessions then
    return 0
  end
  if slot == '' then
    return NEVER
  end
  local seats = P .. 'sessions:' .. mailer
  redis.call('ZREMRANGEBYSCORE', seats, '-inf', stamp(now))
  if redis.call('ZCARD', seats) < limits.sessions or redis.call('ZSCORE', seats, slot) then
    return 0
  end
  return tonumber(redis.call('ZRANGE', seats, 0, 0, 'WITHSCORES')[2]) - now
end

-- Lets one mail pass all gates, or none; tells whether it passed, and whether it is the probe.
local function admit(mailer, domain, group, limits, token, ends)
  if gate_wait(mailer, limits) > 0 or group_wait(group) > 0 then
    return false
  end
  if domain ~= '' then
    if domain_wait(mailer, domain, limits) > 0 then
      return false
    end
    local rate = limits.domain_rate[domain]
    if rate then
      local full = tonumber(redis.call('HGET', P .. 'domain:' .. mailer, domain) or nil)
      redis.call('HSET', P .. 'domain:' .. mailer, domain, exact(rate_taken(full, rate)))
    end
    if limits.domain_concurrency[domain] then
      redis.call('ZADD', P .. 'seats:' .. mailer .. ':' .. domain, stamp(ends), token)
    end
  end
  take_from_group(group)
  local gate = gate_of(mailer)
  if limits.rate then
    gate.full = exact(rate_taken(tonumber(gate.full), limits.rate))
    taken_from[mailer] = true
  end
  if tonumber(gate.failures or 0) > 0 then
    set_gate(mailer, 'probe', token)
    set_gate(mailer, 'probe_ends', stamp(ends))
    return true, true
  end
  return true, false
end
