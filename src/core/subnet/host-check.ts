import type { SubnetPlan } from './plan.ts'

/** What a gateway host's kernel has to be set to, and what is said where it is not. */

/** Values of sysctls by their dotted names; undefined where there is none of that name. */
export type Sysctls = (name: string) => string | undefined

export interface HostFinding {
  /** `missing`: something in the config does not work so. `advice`: it works, and there is something better. */
  readonly kind: 'missing' | 'advice'
  readonly message: string
  /** The sysctl that mends it, as in `net.ipv4.ip_forward=1`. */
  readonly sysctl?: string
}

/** A transparent connection takes two entries of conntrack, and as many again are waiting for their end (TIME_WAIT is 120 s there). */
const CONNTRACK_FOR_EACH_TUNNEL = 4

/** From this share of the table on it is only a matter of a busy hour. */
const CONNTRACK_NEARLY_FULL = 0.8

/** @param tunnels `limits.tunnels` */
export function checkHost(plan: SubnetPlan, read: Sysctls, tunnels: number): HostFinding[] {
  return [
    ...forwarding(plan, read),
    ...conntrack(read, CONNTRACK_FOR_EACH_TUNNEL * tunnels),
    ...reversePath(plan, read),
    ...redirects(plan, read),
  ]
}

/**
 * Redirected connections are the host's own: the kernel needs not forward anything for them. So forwarding is wanted for exceptions
 * alone, and without them better off: should the rules ever be gone, the host is no way out.
 */
function forwarding({ forwards, others }: SubnetPlan, read: Sysctls): HostFinding[] {
  return (
    [
      ['net.ipv4.ip_forward', 4],
      ['net.ipv6.conf.all.forwarding', 6],
    ] as const
  ).flatMap(([name, family]): HostFinding[] => {
    const value = read(name)
    if (value === undefined) return []
    const wanted = forwards.filter(
      ({ addresses, hosts }) => addresses.some(({ network }) => network.family === family) || (hosts.length > 0 && family === 4),
    )
    const [first] = wanted
    if (first !== undefined && value === '0')
      return [missing(`\`subnet.forward\` (\`${first.name}\`) needs the kernel to forward IPv${family}`, `${name}=1`)]
    if (wanted.length === 0 && value !== '0' && others === 'drop')
      return [
        advice(
          `nothing in \`subnet.forward\` needs IPv${family} forwarding; while it is off the host is no way out even without its rules`,
          `${name}=0`,
        ),
      ]
    return []
  })
}

function conntrack(read: Sysctls, wanted: number): HostFinding[] {
  const name = 'net.netfilter.nf_conntrack_max'
  const max = Number(read(name))
  if (!Number.isInteger(max)) return [missing('the kernel tracks no connections yet: load the module `nf_conntrack`')]
  const used = Number(read('net.netfilter.nf_conntrack_count') ?? '0')
  return [
    ...(max < wanted
      ? [
          missing(
            `conntrack holds ${max} connections, and \`limits.tunnels\` may need ${wanted}; past its end new ones are dropped without a word`,
            `${name}=${wanted}`,
          ),
        ]
      : []),
    ...(used > CONNTRACK_NEARLY_FULL * max ? [missing(`conntrack is nearly full: ${used} of ${max}`, `${name}=${2 * max}`)] : []),
  ]
}

/** The kernel goes by the stricter of the two: 1 is strict, 2 loose. */
function reversePath({ interface: name }: SubnetPlan, read: Sysctls): HostFinding[] {
  const scopes = ['all', ...(name === undefined ? [] : [name])]
  const strict = scopes.map((scope) => `net.ipv4.conf.${scope}.rp_filter`).filter((key) => read(key) === '1')
  if (strict.length === 0 || scopes.some((scope) => read(`net.ipv4.conf.${scope}.rp_filter`) === '2')) return []
  return strict.map((key) =>
    advice('strict reverse-path filtering drops the subnet where the way back is another interface', `${key}=2`),
  )
}

/** In and out by one interface, the kernel would tell clients of a shorter way past the gateway. */
function redirects({ forwards }: SubnetPlan, read: Sysctls): HostFinding[] {
  const name = 'net.ipv4.conf.all.send_redirects'
  if (forwards.length === 0 || read(name) !== '1') return []
  return [advice('the kernel would send ICMP redirects to clients whose packets it forwards', `${name}=0`)]
}

function missing(message: string, sysctl?: string): HostFinding {
  return { kind: 'missing', message, ...(sysctl === undefined ? {} : { sysctl }) }
}

function advice(message: string, sysctl: string): HostFinding {
  return { kind: 'advice', message, sysctl }
}
