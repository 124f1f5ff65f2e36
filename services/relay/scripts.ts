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
export const PUBLISH_SCRIPT = `
local first = tonumber(ARGV[2])
local last = first + #ARGV - 6
local watermark = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if watermark >= last then return 1 end
if first > watermark + 1 then return 0 end
if watermark == 0 and ARGV[3] ~= '' then
  local before = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
  if before < tonumber(ARGV[4]) then return 0 end
end
local start = 6 + watermark + 1 - first
redis.call('LPUSH', KEYS[1], unpack(ARGV, start))
redis.call('HSET', KEYS[2], ARGV[1], last)
for i = start, #ARGV do
  local payload = string.match(ARGV[i], '"payload":(.*),"timestamp":"[^"]*","retry_count":%d+,"max_retries":%d+}$')
  if payload then redis.pcall('PUBLISH', ARGV[5], payload) end
end
return 1
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
