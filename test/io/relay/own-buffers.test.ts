import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { withOwnBuffers } from '../../../src/io/relay/own-buffers.ts'
import { PortableRelay } from '../../../src/io/relay/portable-relay.ts'
import { waitFor } from '../../support/gateway.ts'
import { pair as connectedPair } from '../../support/socket-pair.ts'

const MEGABYTE = 1024 * 1024
const sockets: Socket[] = []

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

/** Closed after the test, whatever became of it. */
async function pair(): ReturnType<typeof connectedPair> {
  const both = await connectedPair()
  for (const socket of both) sockets.push(socket.on('error', () => {}))
  return both
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function digestToEnd(socket: Socket, isSlow: boolean): Promise<string> {
  const hash = createHash('sha256')
  socket.on('data', (bytes: Buffer) => {
    hash.update(bytes)
    if (!isSlow) return
    socket.pause()
    setImmediate(() => socket.resume())
  })
  await once(socket, 'end')
  return hash.digest('hex')
}

describe('a connection with buffers of its own', () => {
  it('reads into two of them, and over neither before it is released', async () => {
    const [far, near] = await pair()
    const buffers = new Set<ArrayBufferLike>()
    const waiting: { readonly bytes: Buffer; readonly was: string; readonly release: () => void }[] = []
    const received: Buffer[] = []
    const reader = withOwnBuffers(near, (bytes, release) => {
      buffers.add(bytes.buffer)
      received.push(Buffer.from(bytes))
      waiting.push({ bytes, was: digest(bytes), release })
    })
    const sent = randomBytes(4 * MEGABYTE)
    far.end(sent)
    const end = once(reader as Socket, 'end')
    reader?.resume()
    let most = 0
    const release = () => {
      most = Math.max(most, waiting.length)
      const first = waiting.shift()
      if (first !== undefined) expect(digest(first.bytes)).toBe(first.was)
      first?.release()
    }
    const releasing = setInterval(release, 1)
    await end
    clearInterval(releasing)
    expect(digest(Buffer.concat(received))).toBe(digest(sent))
    expect(buffers.size).toBe(2)
    expect(most).toBe(2)
  })

  it('reads no further while both are in use', async () => {
    const [far, near] = await pair()
    const releases: (() => void)[] = []
    const reader = withOwnBuffers(near, (_bytes, release) => releases.push(release))
    far.write(Buffer.alloc(8 * MEGABYTE))
    reader?.resume()
    const both = () => waitFor(() => (releases.length === 2 ? true : undefined), 'both buffers')
    await both()
    // As many as are given back are read into again, and no more.
    for (const free of [1, 2, 1]) {
      for (const release of releases.splice(2 - free)) release()
      await both()
    }
    expect(far.writableLength).toBeGreaterThan(0)
  })

  it('goes on where the last buffer is given back at once', async () => {
    const [far, near] = await pair()
    const releases: (() => void)[] = []
    let reads = 0
    const reader = withOwnBuffers(near, (_bytes, release) => {
      reads++
      if (reads % 2 === 0) release()
      else releases.push(release)
    })
    far.write(Buffer.alloc(8 * MEGABYTE))
    reader?.resume()
    await waitFor(() => {
      releases.shift()?.()
      return reads > 10 ? true : undefined
    }, 'more than two reads')
  })

  it('is closed with the socket that it was, and the other way round', async () => {
    const [, first] = await pair()
    const reader = withOwnBuffers(first, () => {})
    const closed = once(first, 'close')
    reader?.destroy()
    await closed
    const [, second] = await pair()
    const other = withOwnBuffers(second, () => {}) as Socket
    const alsoClosed = once(other, 'close')
    second.destroy()
    await alsoClosed
  })

  it('is not to be had while something waits to be read, or where its peer has ended', async () => {
    const [far, near] = await pair()
    near.pause()
    far.end('x')
    await waitFor(() => (near.readableLength > 0 ? true : undefined), 'a byte')
    expect(withOwnBuffers(near, () => {})).toBeUndefined()
    expect(near.read().toString()).toBe('x')
    await once(near.resume(), 'end')
    expect(withOwnBuffers(near, () => {})).toBeUndefined()
  })

  it('is had by so many at once and no more, and the next when one has closed', async () => {
    const readers: Socket[] = []
    for (;;) {
      const [, near] = await pair()
      const reader = withOwnBuffers(near, () => {})
      if (reader === undefined) break
      readers.push(reader)
    }
    expect(readers.length).toBe(128)
    const [, near] = await pair()
    expect(withOwnBuffers(near, () => {})).toBeUndefined()
    const closed = once(readers[0] as Socket, 'close')
    readers[0]?.destroy()
    await closed
    expect(withOwnBuffers(near, () => {})).toBeDefined()
  })
})

describe('the portable relay, in bulk', () => {
  for (const isSlow of [false, true])
    it(`carries every byte both ways at once, to ${isSlow ? 'slow readers' : 'readers that keep up'}, many tunnels beside each other`, async () => {
      const relay = new PortableRelay(() => {})
      const tunnels = Array.from({ length: 8 }, async () => {
        const [client, toClient] = await pair()
        const [origin, toOrigin] = await pair()
        const [up, down] = [randomBytes(3 * MEGABYTE), randomBytes(3 * MEGABYTE)]
        const handle = relay.start(toClient, toOrigin, { initialUp: up.subarray(0, 100), idleMs: 5_000, lifetimeMs: 0 })
        const ended = new Promise((resolve) => handle.onDone(resolve))
        client.end(up.subarray(100))
        origin.end(down)
        expect(await Promise.all([digestToEnd(origin, isSlow), digestToEnd(client, isSlow)])).toEqual([digest(up), digest(down)])
        expect(await ended).toMatchObject({ bytesUp: up.length, bytesDown: down.length })
        expect([toClient.destroyed, toOrigin.destroyed]).toEqual([true, true])
      })
      await Promise.all(tunnels)
    })
})
