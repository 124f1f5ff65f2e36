import { createRequire } from 'node:module'
import { PeerMissing } from './errors.ts'

/**
 * Loads what needs an optional peer: a package that is installed only where its feature is used. Nothing may import one outside `load`.
 *
 * @param feature begins the sentence that the reader gets, for example `Plugin "openapi"`
 * @throws {PeerMissing} FST_BRK_PEER_MISSING naming the package and the command that installs the right version. Whatever else goes wrong
 *   in `load`, such as a package that is there and broken, is thrown as it is.
 */
export async function loadPeer<T> (name: string, feature: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (err) {
    if (!isMissing(err, name)) throw err
    throw new PeerMissing(feature, name, wanted(name), { cause: err })
  }
}

/** The message is the only place where Node names the package. @see https://nodejs.org/api/errors.html#err_module_not_found */
function isMissing (err: unknown, name: string): boolean {
  const { code, message } = err as NodeJS.ErrnoException
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`)
}

/** With the versions that this release knows, from its own manifest; in a bundle there is none. */
function wanted (name: string): string {
  try {
    const { peerDependencies } = createRequire(import.meta.url)('fastify-breakwater/package.json') as { peerDependencies: Record<string, string> }
    return name in peerDependencies ? `${name}@${peerDependencies[name]}` : name
  } catch {
    return name
  }
}
