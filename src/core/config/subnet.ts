import { type Hostname, parseHostname } from '../names/hostname.ts'
import { quote } from '../names/quote.ts'
import { err, type Result } from '../result.ts'
import { z } from '../schema.ts'
import { cidr, deadline, name, parsed, port, serviceTag } from './fields.ts'

export const FORWARD_PROTOCOLS = ['udp', 'tcp'] as const
export type ForwardProtocol = (typeof FORWARD_PROTOCOLS)[number]

/** What becomes of packets that the host would forward and that have nothing to do with the subnet. */
export const OTHERS = ['drop', 'leave'] as const
export type Others = (typeof OTHERS)[number]

/** A name whose addresses the rules let through: the kernel knows addresses, so a pattern has nothing to ask for. */
function parseForwardHost(text: string): Result<Hostname, string> {
  if (text.includes('*'))
    return err(
      `${quote(text)} is a pattern, and packets carry addresses: write exact names, which are looked up, or \`addresses\``,
    )
  return parseHostname(text)
}

/** IFNAMSIZ of Linux is 16 with its closing zero; a quote or a blank would leave the string in the rules. */
const interfaceName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,14}$/, 'an interface is named as in `eth0`')

export const forwardSchema = z.strictObject({
  name: name.describe('unique; the rules and the log call it so'),
  proto: z.enum(FORWARD_PROTOCOLS).describe('what is let through'),
  ports: z.array(port).min(1).describe('of the destination'),
  addresses: z.array(cidr).min(1).optional().describe('destinations by address'),
  serviceTags: z
    .array(serviceTag)
    .min(1)
    .optional()
    .describe(
      "destinations by Azure's name for the addresses of a service, as in `AzureMachineLearning.EastUS2`, from `serviceTags.file`",
    ),
  hosts: z
    .array(parsed(parseForwardHost, 'a name without `*`'))
    .min(1)
    .optional()
    .describe('destinations by name; `sallyport subnet --watch` looks them up again and again'),
})

export const subnet = z
  .strictObject({
    ranges: z.array(cidr).default([]).describe('addresses of the clients whose route leads here; none: subnet mode is off'),
    interface: interfaceName
      .optional()
      .describe("interface that only the subnet's packets arrive on; what comes in there from elsewhere is dropped"),
    others: z
      .enum(OTHERS)
      .default('drop')
      .describe(
        'what the host would forward for others than `ranges`: `drop`, or `leave` it to the rules of others (an AKS node)',
      ),
    forward: z.array(forwardSchema).default([]).describe('what is forwarded although no listener judges it'),
    refreshSeconds: deadline(30, 'between two look-ups of the names in `forward`'),
    addressSeconds: deadline(600, 'an address that a name no longer has is still let through for this long'),
  })
  .prefault({})
  .describe('the gateway as the next hop of a subnet: what `sallyport subnet` makes rules of')

export type SubnetConfig = z.output<typeof subnet>
