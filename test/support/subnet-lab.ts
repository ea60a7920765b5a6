import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { waitFor } from './gateway.ts'
import { Namespace } from './namespace.ts'
import { OpensslCa } from './openssl-ca.ts'
import { type ProgramUnderTest, startProgram } from './program-under-test.ts'
import type { Ran, RunOptions } from './run.ts'

/**
 * A network of three namespaces that the test makes itself: `subnet` (clients, whose only route is the gateway), `gateway`, and
 * `internet`, which owns the addresses that are used as destinations. Nothing leaves them.
 *
 *     subnet  10.44.0.10, fd44::10  --lan--  10.44.0.1, fd44::1  gateway  10.45.0.2, fd45::2  --wan--  10.45.0.1, fd45::1  internet
 *
 * No rules are in the gateway until `redirect` (or `sallyport subnet --apply`, run with `lab.gateway.run`) puts them there, and nothing
 * is forwarded until then either.
 */
export const LAB = {
  client: { four: '10.44.0.10', six: 'fd44::10' },
  lan: { four: '10.44.0.1', six: 'fd44::1', name: 'lan', ranges: ['10.44.0.0/24', 'fd44::/64'] },
  wan: { four: '10.45.0.2', six: 'fd45::2', name: 'wan' },
  /** The internet's end; its name server listens on port 53 here. */
  internet: { four: '10.45.0.1', six: 'fd45::1' },
  ports: { tls: 3443, http: 3080, tcp: 3333, proxy: 3128, metrics: 9464, admin: 9465 },
} as const

/**
 * What listens in the internet. `greeting` is said before anything was received; `udp` sends datagrams back; `proxy` takes every CONNECT to
 * one address, whatever host it names.
 */
export interface Service {
  readonly kind: 'https' | 'http' | 'echo' | 'udp' | 'proxy'
  /** Owned by the internet from then on; to be dialled it has to be one that is globally reachable. */
  readonly address: string
  readonly port: number
  /** Names of the certificate of `https`. */
  readonly names?: readonly string[]
  readonly greeting?: string
  /** Where `proxy` leads. */
  readonly to?: string
}

/** What the internet saw. */
export type Arrival =
  | { readonly what: 'connection'; readonly to: string; readonly from: string }
  | {
      readonly what: 'request'
      readonly to: string
      readonly method: string
      readonly host: string | null
      readonly path: string
      readonly serverName: string | null
    }
  | { readonly what: 'datagram'; readonly to: string; readonly from: string; readonly bytes: number }
  | { readonly what: 'lookup'; readonly name: string; readonly type: string; readonly from: string }

export interface SubnetLabOptions {
  readonly services: readonly Service[]
  /** What names resolve to: in the internet's DNS, which the gateway asks, and in the clients' hosts file. */
  readonly names: Readonly<Record<string, readonly string[]>>
  /** What only clients believe of a name: a host file of theirs, a cache that is old. */
  readonly clientNames?: Readonly<Record<string, readonly string[]>>
}

/** What came back to a raw client. */
export interface RawOutcome {
  readonly text: string
  readonly bytes: Buffer
  /** `open`: the client left. */
  readonly end: 'eof' | 'reset' | 'timeout' | 'refused' | 'open'
}

/** What a raw client does next; after the last step it reads until the other side ends, unless that is to leave. */
export type RawStep = { readonly send: string | Uint8Array } | { readonly until: string } | { readonly end: true }

const INTERNET = fileURLToPath(new URL('./internet.mjs', import.meta.url))
const RAW_CLIENT = fileURLToPath(new URL('./raw_client.py', import.meta.url))

export class SubnetLab {
  readonly subnet: Namespace
  readonly gateway: Namespace
  readonly internet: Namespace
  readonly ca: OpensslCa
  readonly #origins: ChildProcess
  readonly #arrivals: Arrival[] = []
  #programs: ProgramUnderTest[] = []

  private constructor(namespaces: readonly [Namespace, Namespace, Namespace], ca: OpensslCa, origins: ChildProcess) {
    ;[this.subnet, this.gateway, this.internet] = namespaces
    this.ca = ca
    this.#origins = origins
  }

  static async start({ services, names, clientNames = {} }: SubnetLabOptions): Promise<SubnetLab> {
    const made: Namespace[] = []
    const ca = new OpensslCa()
    try {
      const make = async (name: string, hosts = '') => {
        const namespace = await Namespace.create(name, { hosts })
        made.push(namespace)
        return namespace
      }
      const subnet = await make('subnet', hostsOf({ ...names, ...clientNames }))
      const gateway = await make('gateway')
      const internet = await make('internet')
      await wire(subnet, gateway, internet, [...new Set(services.map(({ address }) => address))])
      const origins = internet.spawn(process.execPath, [INTERNET])
      const lab = new SubnetLab([subnet, gateway, internet], ca, origins)
      await lab.#serve(services, names)
      return lab
    } catch (error) {
      await Promise.all(made.map((namespace) => namespace.remove()))
      ca.remove()
      throw error
    }
  }

  /** Everything that arrived in the internet so far. */
  get arrivals(): readonly Arrival[] {
    return this.#arrivals
  }

  connectionsTo(address: string): number {
    return this.#arrivals.filter((arrival) => arrival.what === 'connection' && arrival.to === address).length
  }

  /** Ends a program that serves, so that another can have its listeners. */
  async end(program: ProgramUnderTest): Promise<void> {
    this.#programs = this.#programs.filter((one) => one !== program)
    await program.stop()
  }

  /** The built program, serving in the gateway's namespace; ends with the lab. It asks the internet's name server. */
  async serve(yaml: string): Promise<ProgramUnderTest> {
    const program = await startProgram(yaml, { within: this.gateway.prefix })
    this.#programs.push(program)
    return program
  }

  /**
   * The least that leads a subnet's TCP to the listeners, in place of what stood there before: what is for the gateway itself is left
   * alone, and nothing is forwarded.
   */
  async redirect(ports: readonly { readonly from: number | 'rest'; readonly to: number }[] = DEFAULT_REDIRECTS): Promise<void> {
    const rules = ports.map(({ from, to }) => `${from === 'rest' ? 'meta l4proto tcp' : `tcp dport ${from}`} redirect to :${to}`)
    await this.applyRules(`
      table inet lab {}
      delete table inet lab
      table inet lab {
        chain incoming {
          type nat hook prerouting priority dstnat; policy accept;
          iifname != "${LAB.lan.name}" accept
          fib daddr type local accept
          ${rules.join('\n          ')}
        }
        chain forwarded { type filter hook forward priority filter; policy drop; }
      }`)
  }

  /** Rules in the gateway, as `nft -f` takes them. */
  async applyRules(rules: string): Promise<void> {
    await this.gateway.must('nft', ['-f', '-'], { input: rules })
  }

  /** A program of a client, without any proxy settings. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    return this.subnet.run(program, args, options)
  }

  /** curl that trusts the origins and has no proxy. */
  curl(...args: string[]): Promise<Ran> {
    return this.run('curl', ['--silent', '--show-error', '--max-time', '15', '--cacert', this.ca.certificateFile, ...args])
  }

  /** Exactly these bytes, on a connection from the subnet to that very address. */
  async raw(address: string, port: number, steps: readonly RawStep[], seconds = 5): Promise<RawOutcome> {
    const hex = (text: string | Uint8Array) => Buffer.from(text as string, 'latin1').toString('hex')
    const input = JSON.stringify(
      steps.map((step) => ('send' in step ? { send: hex(step.send) } : 'until' in step ? { until: hex(step.until) } : step)),
    )
    const printed = await this.subnet.must('python3', [RAW_CLIENT, address, String(port), String(seconds)], { input })
    const { received, end } = JSON.parse(printed) as { received: string; end: RawOutcome['end'] }
    const bytes = Buffer.from(received, 'hex')
    return { bytes, text: bytes.toString('latin1'), end }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop()))
    if (this.#origins.exitCode === null && this.#origins.signalCode === null) {
      const gone = once(this.#origins, 'exit')
      this.#origins.kill('SIGKILL')
      await gone
    }
    await Promise.all([this.subnet, this.gateway, this.internet].map((namespace) => namespace.remove()))
    this.ca.remove()
  }

  async #serve(services: readonly Service[], zone: SubnetLabOptions['names']): Promise<void> {
    let rest = ''
    let said = ''
    let ready = false
    this.#origins.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const told = JSON.parse(line) as Arrival | { readonly what: 'ready' }
        if (told.what === 'ready') ready = true
        else this.#arrivals.push(told)
      }
    })
    this.#origins.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const listen = [
      { address: LAB.internet.four, port: 53 },
      { address: LAB.internet.six, port: 53 },
    ]
    const told = services.map((service) => ({
      ...service,
      ...(service.kind === 'https' ? this.ca.issue((service.names ?? []).map((name) => `DNS:${name}`).join(',')) : {}),
    }))
    this.#origins.stdin?.write(`${JSON.stringify({ services: told, names: { listen, zone } })}\n`)
    await waitFor(() => {
      if (this.#origins.exitCode !== null) throw new Error(`the internet ended: ${said}`)
      return ready ? true : undefined
    }, `the internet ${said}`)
  }
}

/** Where TCP goes: 443 and 80 to their listeners, all the rest to the third. */
export const DEFAULT_REDIRECTS = [
  { from: 443, to: LAB.ports.tls },
  { from: 80, to: LAB.ports.http },
  { from: 'rest', to: LAB.ports.tcp },
] as const

function hostsOf(names: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(names)
    .flatMap(([name, addresses]) => addresses.map((address) => `${address} ${name}\n`))
    .join('')
}

async function wire(subnet: Namespace, gateway: Namespace, internet: Namespace, destinations: readonly string[]): Promise<void> {
  await gateway.ip(`link add ${LAB.lan.name} type veth peer name eth0 netns ${subnet.pid}
    link add ${LAB.wan.name} type veth peer name eth0 netns ${internet.pid}
    link set ${LAB.lan.name} up
    link set ${LAB.wan.name} up
    addr add ${LAB.lan.four}/24 dev ${LAB.lan.name}
    addr add ${LAB.lan.six}/64 dev ${LAB.lan.name} nodad
    addr add ${LAB.wan.four}/24 dev ${LAB.wan.name}
    addr add ${LAB.wan.six}/64 dev ${LAB.wan.name} nodad
    route add default via ${LAB.internet.four}`)
  const owned = destinations.map((address) => `addr add ${address} dev lo`).join('\n')
  await subnet.ip(`link set eth0 up
    addr add ${LAB.client.four}/24 dev eth0
    addr add ${LAB.client.six}/64 dev eth0 nodad
    route add default via ${LAB.lan.four}`)
  await internet.ip(`link set eth0 up
    addr add ${LAB.internet.four}/24 dev eth0
    addr add ${LAB.internet.six}/64 dev eth0 nodad
    ${owned}`)
  // One batch speaks one family.
  await gateway.must('ip', ['-6', 'route', 'add', 'default', 'via', LAB.internet.six])
  await subnet.must('ip', ['-6', 'route', 'add', 'default', 'via', LAB.lan.six])
  // What was forwarded unchanged could be answered, so that a test can see that it was.
  await internet.must('ip', ['route', 'add', LAB.lan.ranges[0], 'via', LAB.wan.four])
  await internet.must('ip', ['-6', 'route', 'add', LAB.lan.ranges[1], 'via', LAB.wan.six])
  await gateway.must('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
}
