export interface PublishVariant {
  /** Some elements are '': their numbers count, nothing is pushed. */
  sparse: boolean
  /** A `WAIT` follows: it only tells the truth after a write on its own connection, so even a batch that is there already writes. */
  replicated: boolean
  /** Listeners may be at another node, which this one cannot count: publish payloads to whom it may concern. */
  clustered: boolean
}

/** One call takes at most 8000 values from Lua's stack. */
const UNPACK = 4000

const PUSH = `for from = start, #ARGV, ${UNPACK} do
  redis.call('LPUSH', KEYS[1], unpack(ARGV, from, math.min(from + ${UNPACK - 1}, #ARGV)))
end`

const PUSH_SPARSE = `local elements = {}
for i = start, #ARGV do
  if ARGV[i] ~= '' then elements[#elements + 1] = ARGV[i] end
end
for from = 1, #elements, ${UNPACK} do
  redis.call('LPUSH', KEYS[1], unpack(elements, from, math.min(from + ${UNPACK - 1}, #elements)))
end`

/** Two calls for a batch cost less than one pattern match for each element. Who may not ask publishes. */
const HEARD = `local function heard ()
  local exact = redis.pcall('PUBSUB', 'NUMSUB', ARGV[5])
  if exact.err or exact[2] ~= 0 then return true end
  local patterns = redis.pcall('PUBSUB', 'NUMPAT')
  return patterns ~= 0
end`

/**
 * The queue and its watermark move in one step (I3), so a message is in the queue exactly once however often it is sent.
 *
 * KEYS  1 the queue (list)   2 its watermarks (hash: term → last number in the queue)
 * ARGV  1 term   2 number of the first element   3 previous term, or ''   4 the previous term's last number
 *       5 pub/sub channel   6… the elements, numbered consecutively
 * Returns 1 when all elements are in the queue now, 0 when something that comes before them is not.
 *
 * The previous term matters only to a term's first batch: after that its own watermark proves that the chain was complete.
 */
export function publishScript ({ sparse, replicated, clustered }: PublishVariant): string {
  return `${clustered ? '' : HEARD}
local first = tonumber(ARGV[2])
local last = first + #ARGV - 6
local watermark = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if watermark >= last then
  ${replicated ? 'redis.call(\'HSET\', KEYS[2], ARGV[1], watermark)' : ''}
  return 1
end
if first > watermark + 1 then return 0 end
if watermark == 0 and ARGV[3] ~= '' then
  local before = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
  if before < tonumber(ARGV[4]) then return 0 end
end
local start = 6 + watermark + 1 - first
${sparse ? PUSH_SPARSE : PUSH}
redis.call('HSET', KEYS[2], ARGV[1], last)
${clustered ? '' : 'if not heard() then return 1 end'}
for i = start, #ARGV do
  local payload = string.match(ARGV[i], '"payload":(.*),"timestamp":"[^"]*","retry_count":%d+,"max_retries":%d+}$')
  if payload then redis.pcall('PUBLISH', ARGV[5], payload) end
end
return 1
`
}

/**
 * Reads watermarks and writes one of them back as it is, so that a `WAIT` on this connection vouches for all of them.
 *
 * KEYS  1 the watermarks   ARGV  the terms
 * Returns what HMGET returns.
 */
export const VOUCHED_WATERMARKS_SCRIPT = `
local marks = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i = #ARGV, 1, -1 do
  if marks[i] then
    redis.call('HSET', KEYS[1], ARGV[i], marks[i])
    break
  end
end
return marks
`

/**
 * Steps over numbers that no longer exist, unless the watermark has moved meanwhile.
 *
 * KEYS  1 the watermarks   ARGV  1 term   2 expected   3 new
 * Returns 1 when set.
 */
export const REBASE_SCRIPT = `
if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`
