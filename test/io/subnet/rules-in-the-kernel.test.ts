import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseIp } from '../../../src/core/names/ip.ts'
import { readListing } from '../../../src/core/subnet/listing.ts'
import { elementLines, REMOVAL, ruleSet } from '../../../src/core/subnet/rule-set.ts'
import { DUAL_LISTENERS, planOf } from '../../core/subnet/plans.ts'
import { GOLDEN } from '../../core/subnet/rule-sets.ts'
import { waitFor } from '../../support/gateway.ts'
import { NAMESPACE_PROGRAMS, Namespace } from '../../support/namespace.ts'
import { unwrap } from '../../support/policy.ts'
import { describeWith } from '../../support/program.ts'
import { LAB, SubnetLab } from '../../support/subnet-lab.ts'

/** The rules in a kernel, with packets. No gateway runs here: what TCP is told is for `test/e2e/subnet.test.ts`. */

const PACKETS = fileURLToPath(new URL('./packets.py', import.meta.url))

/** Addresses that the internet owns here. */
const SERVER = { four: '203.0.114.7', six: '2001:4860::7' }
const OTHER = '203.0.114.8'

const PLAN = planOf({
  subnet: {
    ranges: [...LAB.lan.ranges],
    interface: LAB.lan.name,
    forward: [
      { name: 'instances', proto: 'udp', ports: [5831], addresses: [`${SERVER.four}/32`, `${SERVER.six}/128`, '168.63.129.16'] },
      { name: 'smb', proto: 'tcp', ports: [445], hosts: ['files.test'] },
    ],
  },
  listeners: DUAL_LISTENERS,
})

describeWith(NAMESPACE_PROGRAMS, () => {
  describe('nft', () => {
    let host: Namespace
    beforeAll(async () => {
      host = await Namespace.create('rules')
    })
    afterAll(() => host.remove())

    const listed = () => host.must('nft', ['-s', 'list', 'ruleset'])

    for (const { name, ...input } of GOLDEN)
      it(`takes the rules, twice with the same result, and is left with nothing: ${name.replaceAll('-', ' ')}`, async () => {
        const rules = ruleSet(planOf(input))
        await host.must('nft', ['-f', '-'], { input: rules })
        const once = await listed()
        await host.must('nft', ['-f', '-'], { input: rules })
        expect(await listed()).toBe(once)
        expect(once).toContain('table inet sallyport')
        await host.must('nft', ['-f', '-'], { input: REMOVAL })
        await host.must('nft', ['-f', '-'], { input: REMOVAL })
        expect(await listed()).toBe('')
      })

    it('takes ten thousand ranges of a service tag, and joins those that lie side by side', async () => {
      const ranges = Array.from({ length: 10_000 }, (_, at) => `20.${at >> 8}.${at & 255}.0/${at % 2 === 0 ? 24 : 25}`)
      const input = {
        subnet: { ranges: ['10.0.1.0/24'], forward: [{ name: 'x', proto: 'udp', ports: [9], serviceTags: ['Storage'] }] },
        tagged: { x: [...ranges, '198.51.100.0/25', '198.51.100.128/25'] },
      }
      await host.must('nft', ['-f', '-'], { input: ruleSet(planOf(input)) })
      const set = await host.must('nft', ['list', 'set', 'inet', 'sallyport', 'fixed4/x'])
      expect(set).toContain('198.51.100.0/24')
      expect(set).toContain('20.39.14.0-20.39.15.127')
      const has = async (address: string) =>
        (await host.run('nft', ['get', 'element', 'inet', 'sallyport', 'fixed4/x', `{ ${address} }`])).code === 0
      expect([await has('20.0.1.127'), await has('20.0.1.128'), await has('20.39.16.1')]).toEqual([true, false, false])
      await host.must('nft', ['-f', '-'], { input: REMOVAL })
    })

    it('leaves the tables of others alone, and puts nothing there when one line is wrong', async () => {
      await host.must('nft', ['add', 'table', 'inet', 'theirs'])
      await host.must('nft', ['-f', '-'], { input: ruleSet(PLAN) })
      const before = await listed()
      const broken = await host.run('nft', ['-f', '-'], {
        input: `${ruleSet(PLAN)}add element inet sallyport nowhere { 192.0.2.1 }\n`,
      })
      expect(broken.code).not.toBe(0)
      expect(await listed()).toBe(before)
      await host.must('nft', ['-f', '-'], { input: REMOVAL })
      expect(await listed()).toBe('table inet theirs {\n}\n')
      await host.must('nft', ['delete', 'table', 'inet', 'theirs'])
    })

    it('lets an address out of a set when its time is over, and begins the time anew when it is added again', async () => {
      const [, smb] = PLAN.forwards
      const [address] = [parseIp(OTHER)]
      if (smb === undefined || address === undefined) throw new Error('no exception')
      const elements = (seconds: number) => `${elementLines(smb, [address], seconds).join('\n')}\n`
      await host.must('nft', ['-f', '-'], { input: ruleSet(PLAN, elementLines(smb, [address], 600)) })
      const set = async () => host.must('nft', ['list', 'set', 'inet', 'sallyport', 'named4/smb'])
      expect(await set()).toMatch(/203\.0\.114\.8 timeout 10m expires (?:10m|9m59)/)
      await host.must('nft', ['-f', '-'], { input: elements(1) })
      expect(await set()).toMatch(/timeout 1s/)
      await waitFor(async () => ((await set()).includes(OTHER) ? undefined : true), 'the end of its time')
      await host.must('nft', ['-f', '-'], { input: REMOVAL })
    })
  })

  describe("a subnet's packets", () => {
    let lab: SubnetLab
    beforeAll(async () => {
      lab = await SubnetLab.start({
        services: [
          { kind: 'udp', address: SERVER.four, port: 5831 },
          { kind: 'udp', address: SERVER.six, port: 5831 },
          { kind: 'udp', address: SERVER.four, port: 53 },
          { kind: 'udp', address: SERVER.four, port: 9999 },
          { kind: 'udp', address: SERVER.four, port: 443 },
          { kind: 'udp', address: SERVER.six, port: 443 },
          { kind: 'udp', address: OTHER, port: 5831 },
          { kind: 'udp', address: '168.63.129.16', port: 5831 },
          { kind: 'echo', address: SERVER.four, port: 445 },
          { kind: 'echo', address: OTHER, port: 445 },
        ],
        names: {},
      })
      const [, smb] = PLAN.forwards
      const server = parseIp(SERVER.four)
      if (smb === undefined || server === undefined) throw new Error('no exception')
      await lab.applyRules(ruleSet(PLAN, elementLines(smb, [server], 600)))
    })
    afterAll(() => lab?.stop())

    const send = async (kind: string, address: string, port = 0) =>
      (await lab.subnet.must('python3', [PACKETS, kind, address, String(port)])).trim()
    const arrivedAt = (to: string) => lab.arrivals.filter((one) => 'to' in one && one.to === to)
    const read = async () =>
      unwrap(readListing(JSON.parse(await lab.gateway.must('nft', ['-j', 'list', 'table', 'inet', 'sallyport']))))
    const dropped = async (proto: string, port: string) =>
      (await read()).packets.find((one) => one.proto === proto && one.port === port)?.packets ?? -1

    for (const server of [SERVER.four, SERVER.six])
      it(`pass by an exception, masqueraded, and their answers come back: UDP 5831 to ${server}`, async () => {
        expect(await send('udp', server, 5831)).toBe('hello')
        expect(arrivedAt(`${server}:5831`)).toMatchObject([{ from: server.includes(':') ? LAB.wan.six : LAB.wan.four }])
      })

    it('pass by an exception for a name: TCP 445 is not led to a listener', async () => {
      expect(await send('tcp', SERVER.four, 445)).toBe('connected')
      await waitFor(() => (arrivedAt(`${SERVER.four}:445`).length > 0 ? true : undefined), 'the connection')
      expect(arrivedAt(`${SERVER.four}:445`)).toMatchObject([{ what: 'connection', from: LAB.wan.four }])
    })

    const LOST = [
      { what: 'UDP 53', packet: ['udp', SERVER.four, 53], proto: 'udp', port: '53' },
      { what: 'another UDP port', packet: ['udp', SERVER.four, 9999], proto: 'udp', port: 'other' },
      { what: "an exception's port at another address", packet: ['udp', OTHER, 5831], proto: 'udp', port: '5831' },
      {
        what: 'the Azure host, although an exception names it',
        packet: ['udp', '168.63.129.16', 5831],
        proto: 'udp',
        port: '5831',
      },
      { what: 'SCTP', packet: ['sctp', SERVER.four, 443], proto: 'sctp', port: 'none' },
      { what: 'ICMP', packet: ['icmp', SERVER.four, 0], proto: 'icmp', port: 'none' },
      { what: 'ICMPv6', packet: ['icmp', SERVER.six, 0], proto: 'icmp', port: 'none' },
      { what: 'GRE', packet: ['gre', SERVER.four, 0], proto: 'other', port: 'none' },
      { what: 'UDP over IPv6', packet: ['udp', SERVER.six, 9999], proto: 'udp', port: 'other' },
    ] as const
    for (const { what, packet, proto, port } of LOST)
      it(`are dropped and counted: ${what}`, async () => {
        const before = await dropped(proto, port)
        const arrived = lab.arrivals.length
        expect(await send(packet[0], packet[1], packet[2])).toMatch(/^(?:timeout|sent)$/)
        expect(await dropped(proto, port)).toBe(before + 1)
        expect(lab.arrivals.slice(arrived)).toEqual([])
      })

    for (const address of [SERVER.four, SERVER.six])
      it(`are refused at once where they are QUIC, so that the client goes on over TCP: ${address}`, async () => {
        const before = await dropped('udp', '443')
        expect(await send('udp', address, 443)).toBe('ECONNREFUSED')
        expect(await dropped('udp', '443')).toBe(before + 1)
        expect(arrivedAt(`${address}:443`)).toEqual([])
      })

    it('are led to the listeners where they are TCP: nobody listens here, and it is the gateway that says so', async () => {
      for (const [address, port] of [
        [OTHER, 445],
        [SERVER.four, 443],
        [SERVER.six, 22],
      ] as const)
        expect(await send('tcp', address, port)).toBe('ECONNREFUSED')
      expect(arrivedAt(`${OTHER}:445`)).toEqual([])
    })

    it('reach what else listens on the gateway, and its listeners only from the subnet', async () => {
      const listener = lab.gateway.spawn('python3', [
        '-c',
        `import socket\nall=[socket.create_server(("0.0.0.0", port)) for port in (3443, 9464)]\nprint("ready", flush=True)\ninput()`,
      ])
      await new Promise((resolve) => listener.stdout?.once('data', resolve))
      const ended = new Promise((resolve) => listener.once('exit', resolve))
      try {
        const from = async (side: 'subnet' | 'internet', port: number) =>
          (
            await lab[side].must('python3', [PACKETS, 'tcp', side === 'subnet' ? LAB.lan.four : LAB.wan.four, String(port)])
          ).trim()
        expect(await from('subnet', 9464)).toBe('connected')
        expect(await from('internet', 9464)).toBe('connected')
        expect(await from('subnet', 3443)).toBe('connected')
        expect(await from('internet', 3443)).toBe('timeout')
      } finally {
        listener.kill('SIGKILL')
        await ended
      }
    })

    it('stay away from the subnet where nobody there asked: the internet cannot open a connection to a client', async () => {
      const to = async (kind: string, port: number) =>
        (await lab.internet.must('python3', [PACKETS, kind, LAB.client.four, String(port)])).trim()
      expect(await to('tcp', 22)).toBe('timeout')
      expect(await to('udp', 5831)).toBe('timeout')
    })

    it('are remembered by client, destination, protocol and port, for the audit log', async () => {
      const { flows } = await read()
      expect(flows).toContainEqual({ client: LAB.client.four, destination: SERVER.four, proto: 'udp', port: 53, packets: 1 })
      expect(flows).toContainEqual({ client: LAB.client.six, destination: SERVER.six, proto: 'udp', port: 9999, packets: 1 })
      expect(flows.find(({ proto, client }) => proto === 'icmp' && client === LAB.client.four)).toEqual({
        client: LAB.client.four,
        destination: SERVER.four,
        proto: 'icmp',
        packets: 1,
      })
    })

    it('are dropped, counted and refused just the same on a host that forwards nothing', async () => {
      const forwarding = (value: number) =>
        lab.gateway.must('sh', [
          '-c',
          `echo ${value} > /proc/sys/net/ipv4/ip_forward; echo ${value} > /proc/sys/net/ipv6/conf/all/forwarding`,
        ])
      await forwarding(0)
      try {
        const before = await dropped('udp', '53')
        expect(await send('udp', SERVER.four, 53)).toBe('timeout')
        expect(await dropped('udp', '53')).toBe(before + 1)
        expect(await send('udp', SERVER.four, 443)).toBe('ECONNREFUSED')
        // Led to the listeners as well, which is all that most gateways are for.
        expect(await send('tcp', SERVER.four, 443)).toBe('ECONNREFUSED')
        await lab.applyRules(REMOVAL)
        const arrived = lab.arrivals.length
        expect(await send('udp', SERVER.four, 9999)).toMatch(/timeout|EHOSTUNREACH|ENETUNREACH/)
        expect(lab.arrivals.slice(arrived)).toEqual([])
      } finally {
        await forwarding(1)
        await lab.applyRules(ruleSet(PLAN))
      }
    })

    it('of a flow that was there before the rules are dropped as well', async () => {
      await lab.applyRules(REMOVAL)
      const flow = lab.subnet.spawn('python3', [
        '-c',
        `import socket,sys
one=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(1); one.connect(("${SERVER.four}", 9999))
def ask():
    one.send(b"x")
    try: return one.recv(9).decode()
    except TimeoutError: return "timeout"
print(ask(), flush=True); sys.stdin.readline(); print(ask(), flush=True)`,
      ])
      let said = ''
      flow.stdout?.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
      const ended = new Promise((resolve) => flow.once('exit', resolve))
      await waitFor(() => (said === 'x\n' ? true : undefined), 'an answer without rules')
      await lab.applyRules(ruleSet(PLAN))
      flow.stdin?.write('\n')
      await ended
      expect(said).toBe('x\ntimeout\n')
    })
  })
})
