import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { constants } from 'node:os'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DoorConnect, DoorKeeper } from '../../../src/io/relay/door.ts'
import { PortableDoor } from '../../../src/io/relay/portable-door.ts'
import { waitFor } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

const HEAD = 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\n\r\n'

/** Everything that is told of connections, as it comes; nothing is answered but by the test. */
class Recorder implements DoorKeeper {
  readonly told: (readonly [what: string, id: number, ...rest: unknown[]])[] = []
  readonly handedOver: Socket[] = []

  head(id: number, _client: unknown, _original: unknown, first: Buffer): void {
    this.told.push(['head', id, first.toString('latin1')])
  }
  handed(id: number, socket: Socket | undefined, first: Buffer): void {
    if (socket !== undefined) this.handedOver.push(socket)
    this.told.push(['handed', id, first.toString('latin1')])
  }
  opening(id: number, { address }: { address: number }, bytes: Buffer, ended: boolean): void {
    this.told.push(['opening', id, address, bytes.toString('latin1'), ended])
  }
  dialFailed(id: number, { address }: { address: number }, errno: number): void {
    this.told.push(['dialFailed', id, address, errno])
  }
  openingTimeout(id: number, { address }: { address: number }): void {
    this.told.push(['openingTimeout', id, address])
  }
  gone(id: number, { address }: { address: number }): void {
    this.told.push(['gone', id, address])
  }
  carried(id: number, { address }: { address: number }): void {
    this.told.push(['carried', id, address])
  }

  /** What was told next, which must be this. */
  async next(what: string): Promise<unknown[]> {
    const [told, ...rest] = await waitFor(() => this.told.shift(), what)
    expect(told).toBe(what)
    return rest
  }
}

describe('the door without the kernel relay', () => {
  let counts: number[]
  let door: PortableDoor
  let server: Server
  let port: number
  let keeper: Recorder
  let origin: Origin
  const clients: RawClient[] = []

  beforeEach(async () => {
    counts = []
    door = new PortableDoor((connections) => counts.push(connections))
    keeper = new Recorder()
    server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
    door.open(server, { reads: 'connect', established: OK }, keeper)
    origin = await Origin.start()
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    for (const socket of keeper.handedOver) socket.destroy()
    door.close()
    door.breakOff()
    await origin.stop()
  })

  const comeIn = async (text = HEAD) => {
    const client = await RawClient.connect(port)
    clients.push(client)
    if (text !== '') client.send(text)
    return client
  }
  const to = (more: Partial<DoorConnect> = {}): DoorConnect => ({
    addresses: ['127.0.0.1'],
    port: origin.port,
    dialMs: 2_000,
    staggerMs: 250,
    headBytes: HEAD.length,
    judged: false,
    openingMs: 10_000,
    heldBytes: 16_384,
    idleMs: 0,
    lifetimeMs: 0,
    ...more,
  })
  const nobody = () => waitFor(() => (door.connections === 0 ? true : undefined), 'nobody')

  it('asks about a CONNECT, and hands over what is none, with what was read, and what says nothing', async () => {
    await comeIn()
    expect(await keeper.next('head')).toEqual([1, HEAD])
    await comeIn('GET / HTTP/1.1\r\n\r\n')
    expect(await keeper.next('handed')).toEqual([0, 'GET / HTTP/1.1\r\n\r\n'])
    await comeIn('CONNECT a.test:443 HTTP/1.1\r\nHost:')
    expect(await keeper.next('handed')).toEqual([0, 'CONNECT a.test:443 HTTP/1.1\r\nHost:'])
    await comeIn(HEAD + 'x'.repeat(9_000))
    expect(await keeper.next('handed')).toEqual([0, expect.stringMatching(/x$/)])
    await comeIn('')
    expect(await keeper.next('handed')).toEqual([0, ''])
    expect(door.connections).toBe(1)
  })

  it('closes who ends without a word', async () => {
    const client = await comeIn('')
    client.socket.end()
    await client.untilClosed()
    await nobody()
    expect(keeper.told).toEqual([])
  })

  it('bounds connections, tunnels among them, and tells whenever their number changes', async () => {
    door.limit(2)
    const first = await comeIn()
    await keeper.next('head')
    door.connect(1, to({ judged: true }))
    await keeper.next('carried')
    await comeIn()
    await keeper.next('head')
    const third = await comeIn('')
    await third.untilClosed()
    expect([door.limit(2), door.limit(2)]).toEqual([1, 0])
    first.close()
    await waitFor(() => (door.connections === 1 ? true : undefined), 'the place of the first')
    expect(counts).toEqual([1, 2, 1])
  })

  it('relays what was judged before, with what came behind the head first', async () => {
    const client = await comeIn(`${HEAD}early`)
    await keeper.next('head')
    door.connect(1, to({ judged: true }))
    expect(await keeper.next('carried')).toEqual([1, 0])
    client.send(', late')
    await client.until((text) => text === `${OK}early, late`)
  })

  it('waits for an opening, for more of it, and relays it once it is carried', async () => {
    const client = await comeIn(`${HEAD}ea`)
    await keeper.next('head')
    door.connect(1, to())
    await client.until((text) => text === OK)
    client.send('rl')
    expect(await keeper.next('opening')).toEqual([1, 0, 'rl', false])
    door.more(1)
    client.socket.end('y')
    expect(await keeper.next('opening')).toEqual([1, 0, 'y', false])
    door.more(1)
    expect(await keeper.next('opening')).toEqual([1, 0, '', true])
    const relay = door.carry(1, 0, 0)
    const ended = new Promise((resolve) => relay.onDone(resolve))
    expect(await client.until((text) => text.endsWith('early'))).toBe(`${OK}early`)
    expect(await ended).toEqual({ endedBy: 'client', bytesUp: 5, bytesDown: 5 })
    expect(() => door.carry(1, 0, 0)).toThrow('nobody of that id')
    await nobody()
  })

  it('says when an opening takes too long, and lets the origin go with the refusal', async () => {
    const client = await comeIn()
    await keeper.next('head')
    door.connect(1, to({ openingMs: 50 }))
    expect(await keeper.next('openingTimeout')).toEqual([1, 0])
    door.reply(1, 'no')
    client.socket.end()
    expect(await client.untilClosed()).toBe(`${OK}no`)
    await waitFor(() => (origin.sockets[0]?.destroyed ? true : undefined), 'the origin')
    await nobody()
  })

  it('says what became of a dial', async () => {
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port: free } = closed.address() as AddressInfo
    closed.close()
    await once(closed, 'close')
    const client = await comeIn()
    await keeper.next('head')
    door.connect(1, to({ port: free }))
    expect(await keeper.next('dialFailed')).toEqual([1, -1, constants.errno.ECONNREFUSED])
    door.reply(1, 'none')
    client.socket.end()
    expect(await client.untilClosed()).toBe('none')
  })

  it('gives a dial up where the client is refused meanwhile', async () => {
    const client = await comeIn()
    await keeper.next('head')
    door.connect(1, to({ judged: true }))
    door.reply(1, 'no')
    client.socket.end()
    expect(await client.untilClosed()).toBe('no')
    await nobody()
    expect(keeper.told).toEqual([])
  })

  describe('tells of a client that has left', () => {
    it('at once, while its opening is waited for; its origin is broken off', async () => {
      const client = await comeIn()
      await keeper.next('head')
      door.connect(1, to())
      await client.until((text) => text === OK)
      client.socket.resetAndDestroy()
      expect(await keeper.next('gone')).toEqual([1, 0])
      await waitFor(() => (origin.sockets[0]?.destroyed ? true : undefined), 'the origin')
      await nobody()
    })

    for (const [answer, act] of [
      ['is to be connected', () => door.connect(1, to())],
      ['is to be handed over', () => door.take(1)],
    ] as const)
      it(`only when it ${answer}, while somebody was about to answer`, async () => {
        const client = await comeIn()
        await keeper.next('head')
        client.socket.resetAndDestroy()
        await nobody()
        expect(keeper.told).toEqual([])
        act()
        expect(await keeper.next('gone')).toEqual([1, -1])
        await new Promise((resolve) => setImmediate(resolve))
        expect(keeper.told).toEqual([])
        expect(origin.connections).toBe(0)
      })

    it('never, where it was refused meanwhile', async () => {
      const client = await comeIn()
      await keeper.next('head')
      client.socket.resetAndDestroy()
      await nobody()
      door.reply(1, 'no')
      expect(keeper.told).toEqual([])
    })
  })

  it('closes who has said nothing when it accepts no more, and breaks off what is not relayed at its end', async () => {
    const silent = await comeIn('')
    const asked = await comeIn()
    await keeper.next('head')
    door.connect(1, to())
    await asked.until((text) => text === OK)
    door.close()
    await silent.untilClosed()
    door.breakOff()
    await asked.untilClosed()
    expect(await keeper.next('gone')).toEqual([1, 0])
    await expect(RawClient.connect(port)).rejects.toThrow('ECONNREFUSED')
  })
})
