import createError from '@fastify/error'

/** A feature is used whose package, an optional peer of ours, is not installed. */
export const PeerMissing = createError<[string, string, string, ErrorOptions?]>(
  'FST_BRK_PEER_MISSING',
  '%s needs the package %s, which is not installed. Install it: npm install "%s"',
  500
)
