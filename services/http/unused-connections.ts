import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** How long a connection whose first request is still arriving may go on after the server closes. */
const GRACE_MS = 1000

/**
 * Load balancers and browsers open connections ahead. Node closes idle ones with the server, but only those that have carried a request:
 * one that never has would hold up the end until its timeout.
 *
 * @returns what to call when the server begins to close
 */
export function followConnections (server: Server): () => void {
  const unused = new Set<Socket>()
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.on('request', ({ socket }) => { unused.delete(socket) })
  return () => {
    for (const socket of unused) if (socket.bytesRead === 0) socket.destroy()
    setTimeout(() => { for (const socket of unused) socket.destroy() }, GRACE_MS).unref()
  }
}
