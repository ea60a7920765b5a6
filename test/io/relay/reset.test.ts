import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { breakOff } from '../../../src/io/relay/reset.ts'

describe('breaking a connection off', () => {
  let here: Socket
  let there: Socket
  let stop: () => void

  beforeEach(async () => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    here = connect({
      port: address !== null && typeof address === 'object' ? address.port : 0,
      host: '127.0.0.1',
      allowHalfOpen: true,
    })
    const [accepted] = await once(server, 'connection')
    there = accepted
    stop = () => {
      here.destroy()
      there.destroy()
      server.close()
    }
  })
  afterEach(() => stop())

  /** What a peer that reads sees: the events in their order. */
  function seenBy(peer: Socket): Promise<string[]> {
    const seen: string[] = []
    peer.on('data', () => seen.push('data'))
    peer.on('end', () => seen.push('end'))
    peer.on('error', (error: NodeJS.ErrnoException) => seen.push(error.code ?? 'error'))
    return new Promise((resolve) => peer.once('close', () => resolve(seen)))
  }

  it('is a reset to the peer, never an orderly end', async () => {
    const seen = seenBy(there)
    here.write('some')
    await once(there, 'data')
    breakOff(here)
    expect(await seen).toEqual(['data', 'ECONNRESET'])
  })

  it('does not wait for a peer that has stalled', async () => {
    here.write(Buffer.alloc(32 * 1024 * 1024))
    await once(there, 'readable')
    expect(here.writableLength).toBeGreaterThan(0)
    const closed = once(here, 'close')
    breakOff(here)
    await closed
  })

  for (let turns = 0; turns < 8; turns++)
    it(`closes it also while its end is on its way, ${turns} turns after that was said`, async () => {
      const errors: Error[] = []
      there.on('error', (error) => errors.push(error))
      const closed = once(there, 'close')
      there.end('x')
      const later = (left: number): void => {
        if (left === 0) breakOff(there)
        else process.nextTick(later, left - 1)
      }
      later(turns)
      await closed
      expect(errors).toEqual([])
    })

  it('does nothing to a connection that is closed', () => {
    here.destroy()
    expect(() => breakOff(here)).not.toThrow()
  })
})
