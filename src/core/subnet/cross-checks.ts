import type { Config } from '../config.ts'
import { type Cidr, type CidrSet, cidrContains } from '../names/cidr.ts'
import { type Problem, problem, warning } from '../problem.ts'
import { transparentListeners } from './listeners.ts'

/** What of `subnet` is right key by key and cannot be right together. */
export function checkSubnet({ subnet: { ranges, forward } }: Config): Problem[] {
  const first = new Map<string, number>()
  return [
    ...(ranges.length === 0 && forward.length > 0
      ? [problem(['subnet', 'forward'], 'there are exceptions and no `subnet.ranges` to except them from')]
      : []),
    ...forward.flatMap(({ name, addresses, serviceTags, hosts }, index): Problem[] => {
      const path = ['subnet', 'forward', index]
      const earlier = first.get(name)
      first.set(name, earlier ?? index)
      return [
        ...(earlier === undefined
          ? []
          : [problem([...path, 'name'], `\`${name}\` is the name of an exception above; give each its own`)]),
        ...(addresses === undefined && serviceTags === undefined && hosts === undefined
          ? [problem(path, `\`${name}\` names no destination: give it \`addresses\`, \`serviceTags\` or \`hosts\``)]
          : []),
      ]
    }),
  ]
}

/** Wider than any one owner's: it may be meant, and is worth a second look. */
const WIDE_PREFIX = { 4: 8, 6: 16 } as const

/** What is said of exceptions that let more out than one might think, and of clients that would be refused. */
export function warnAboutSubnet(config: Config): Problem[] {
  const { subnet, clients } = config
  if (subnet.ranges.length === 0) return []
  return [
    ...(Object.keys(transparentListeners(config)).length === 0
      ? [warning(['subnet', 'ranges'], 'there is no `listen.transparent`: all TCP of these ranges is dropped')]
      : []),
    ...subnet.ranges.flatMap((range, index) =>
      isWithin(range, clients.allow)
        ? []
        : [warning(['subnet', 'ranges', index], `\`${range.text}\` is not in \`clients.allow\`: its clients are refused`)],
    ),
    ...subnet.forward.flatMap(({ proto, ports, addresses = [] }, index) => {
      const path = ['subnet', 'forward', index]
      const wide = addresses.findIndex(({ network: { family }, prefixLength }) => prefixLength < WIDE_PREFIX[family])
      return [
        ...(ports.includes(53)
          ? [
              warning(
                [...path, 'ports'],
                'port 53 is let through: whoever answers can be sent data in the names that are asked for',
              ),
            ]
          : []),
        ...(proto === 'tcp' && ports.some((port) => port === 80 || port === 443)
          ? [
              warning(
                [...path, 'ports'],
                'TCP 80 and 443 are let through without a look at names; a rule with `addresses` is judged',
              ),
            ]
          : []),
        ...(proto === 'udp' && ports.includes(443)
          ? [warning([...path, 'ports'], 'UDP 443 is QUIC: web traffic that no listener judges')]
          : []),
        ...(wide < 0
          ? []
          : [warning([...path, 'addresses', wide], `\`${addresses[wide]?.text}\` is much of the internet; name what is needed`)]),
      ]
    }),
  ]
}

function isWithin({ network, prefixLength }: Cidr, set: CidrSet): boolean {
  return set.cidrs.some((around) => around.prefixLength <= prefixLength && cidrContains(around, network))
}
