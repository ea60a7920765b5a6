import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AuditEvent, auditEventSchema } from '../../../src/core/audit-event.ts'
import type { SubnetReport } from '../../../src/core/subnet/report.ts'
import { DroppedPackets } from '../../../src/io/subnet/dropped-packets.ts'
import { REPORT_FILE, readReport, writeReport } from '../../../src/io/subnet/report-file.ts'
import { Metrics } from '../../../src/io/telemetry/metrics.ts'
import { configFrom } from '../../support/policy.ts'

let folder: string
let nowMs: number
let metrics: Metrics
let events: AuditEvent[]
let packets: DroppedPackets

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-dropped-'))
  nowMs = 1_700_000_000_000
  metrics = new Metrics()
  events = []
  packets = withSubnet({ ranges: ['10.0.1.0/24'] })
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function withSubnet(subnet: object): DroppedPackets {
  const config = { ...configFrom({ subnet }), stateDirectory: folder }
  return new DroppedPackets({
    metrics,
    config: () => config,
    policyHash: () => 'hash',
    gateway: 'gw',
    write: (event) => events.push(event),
    nowMs: () => nowMs,
  })
}

const report = (more: Partial<SubnetReport> = {}): Promise<void> =>
  writeReport(folder, { version: 1, timeMs: nowMs, rulesInForce: true, packets: [], flows: [], ...more })

const flow = { client: '10.0.1.4', destination: '192.0.2.1', proto: 'udp', port: 53 } as const

async function value(line: string): Promise<number | undefined> {
  const found = (await metrics.registry.metrics()).split('\n').find((text) => text.startsWith(`${line} `))
  return found === undefined ? undefined : Number(found.slice(line.length + 1))
}
const dropped = (proto: string, port: string) => value(`sallyport_subnet_dropped_packets_total{proto="${proto}",port="${port}"}`)

/** The next report, five seconds later. */
async function next(more: Partial<SubnetReport>): Promise<void> {
  nowMs += 5_000
  await report(more)
  await packets.look()
}

describe('packets that the rules dropped', () => {
  it('are counted, on from where the kernel stood, and through a table that was made again', async () => {
    await next({ packets: [{ proto: 'udp', port: '53', packets: 10 }] })
    expect(await dropped('udp', '53')).toBe(10)
    await next({ packets: [{ proto: 'udp', port: '53', packets: 12 }] })
    expect(await dropped('udp', '53')).toBe(12)
    await next({ packets: [{ proto: 'udp', port: '53', packets: 1 }] })
    expect(await dropped('udp', '53')).toBe(13)
  })

  it('are counted once, however often a report is read', async () => {
    await next({ packets: [{ proto: 'udp', port: '53', packets: 10 }] })
    await packets.look()
    expect(await dropped('udp', '53')).toBe(10)
  })

  it('have a series each from the start, and no other ever', async () => {
    await next({ packets: [{ proto: 'udp', port: '9999', packets: 10 }] })
    expect(await dropped('udp', '5831')).toBe(0)
    expect(await dropped('udp', '9999')).toBeUndefined()
  })

  it('get a line with client, place, reason and hint, which is an event of the published schema', async () => {
    await next({ flows: [{ ...flow, packets: 3 }] })
    expect(events).toHaveLength(1)
    const [event] = events
    expect(auditEventSchema.parse(event)).toMatchObject({
      event: 'deny',
      kind: 'packet',
      listener: 'subnet',
      client: '10.0.1.4',
      host: '192.0.2.1',
      port: 53,
      reason: 'not_forwarded',
      detail: '3 packets of udp',
      hint: expect.stringContaining('168.63.129.16'),
    })
  })

  it('get one line a minute for a client, a protocol and a port, with all that came since', async () => {
    for (let packetsSoFar = 1; packetsSoFar <= 12; packetsSoFar++) await next({ flows: [{ ...flow, packets: packetsSoFar }] })
    expect(events.map(({ detail }) => detail)).toEqual(['1 packet of udp'])
    await next({
      flows: [
        { ...flow, packets: 13 },
        { ...flow, destination: '192.0.2.2', packets: 5 },
      ],
    })
    expect(events.map(({ detail }) => detail)).toEqual(['1 packet of udp', '12 packets of udp'])
    // What came for the other place is in the next line.
    nowMs += 60_000
    await next({ flows: [{ ...flow, packets: 14 }] })
    expect(events.at(-1)?.detail).toBe('6 packets of udp')
  })

  it('get no line where nothing more came', async () => {
    await next({ flows: [{ ...flow, packets: 3 }] })
    nowMs += 60_000
    await next({ flows: [{ ...flow, packets: 3 }] })
    expect(events).toHaveLength(1)
  })

  it('get at most twenty lines at once, whatever a client scans', async () => {
    const flows = Array.from({ length: 1000 }, (_, port) => ({ ...flow, port, packets: 1 }))
    await next({ flows })
    expect(events).toHaveLength(20)
  })

  it('without a port have a line without one', async () => {
    await next({ flows: [{ client: '10.0.1.4', destination: '192.0.2.1', proto: 'icmp', packets: 1 }] })
    expect(events).toHaveLength(1)
    expect(events[0]).not.toHaveProperty('port')
    expect(events[0]).not.toHaveProperty('hint')
  })
})

describe('the rules', () => {
  const inForce = () => value('sallyport_subnet_rules_in_force')

  it('are in force while the watcher says so, and for a minute after its last word', async () => {
    await next({})
    expect(await inForce()).toBe(1)
    nowMs += 59_000
    await packets.look()
    expect(await inForce()).toBe(1)
    nowMs += 2_000
    await packets.look()
    expect(await inForce()).toBe(0)
  })

  it('are not where it says otherwise, or nothing', async () => {
    await packets.look()
    expect(await inForce()).toBe(0)
    await next({ rulesInForce: false })
    expect(await inForce()).toBe(0)
  })

  it("are nobody's business where subnet mode is off: no ranges, no series, no line", async () => {
    packets = withSubnet({})
    await next({ packets: [{ proto: 'udp', port: '53', packets: 10 }], flows: [{ ...flow, packets: 3 }] })
    expect(await value('sallyport_subnet_ranges')).toBe(0)
    expect(await dropped('udp', '53')).toBeUndefined()
    expect(events).toEqual([])
  })
})

describe('a report', () => {
  const bad = [
    ['nothing', ''],
    ['no JSON', '{'],
    ['another version', JSON.stringify({ version: 2 })],
    [
      'negative counts',
      JSON.stringify({
        version: 1,
        timeMs: 1,
        rulesInForce: true,
        packets: [{ proto: 'udp', port: '53', packets: -1 }],
        flows: [],
      }),
    ],
    [
      'a flood',
      JSON.stringify({ version: 1, timeMs: 1, rulesInForce: true, packets: [], flows: [], padding: 'x'.repeat(600_000) }),
    ],
  ] as const
  for (const [what, text] of bad)
    it(`is none where the file holds ${what}`, async () => {
      writeFileSync(join(folder, REPORT_FILE), text)
      expect(await readReport(folder)).toBeUndefined()
      await packets.look()
      expect(events).toEqual([])
    })

  it('with clients that are no addresses forges no line', async () => {
    await next({
      flows: [
        { ...flow, client: 'x"\n{', packets: 1 },
        { ...flow, destination: 'evil', packets: 1 },
      ],
    })
    expect(events).toEqual([])
  })

  it('replaces the one before in one go, also where a link lies in its way', async () => {
    const victim = join(folder, 'victim')
    writeFileSync(victim, 'mine')
    symlinkSync(victim, join(folder, REPORT_FILE))
    await report()
    expect((await readReport(folder))?.timeMs).toBe(nowMs)
    rmSync(join(folder, REPORT_FILE))
    expect(await readReport(folder)).toBeUndefined()
  })
})
