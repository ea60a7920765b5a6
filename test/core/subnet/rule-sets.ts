import { DUAL_LISTENERS, type PlanInput } from './plans.ts'

/** Every text in `rules/` is compared byte for byte, and applied by the real nft in test/io/subnet/rules-in-the-kernel.test.ts. */
export const GOLDEN: readonly (PlanInput & { readonly name: string })[] = [
  { name: 'one-range-no-exceptions', subnet: { ranges: ['10.0.1.0/24'] } },
  {
    name: 'both-families-with-exceptions',
    subnet: {
      ranges: ['10.0.1.0/24', '10.0.2.0/24', 'fd00:1::/64'],
      interface: 'eth1',
      forward: [
        { name: 'instances', proto: 'udp', ports: [5831], addresses: ['13.66.0.0/17', '2603:1030::/48'] },
        { name: 'smb', proto: 'tcp', ports: [445], hosts: ['mystorage.file.core.windows.net'] },
        { name: 'ntp', proto: 'udp', ports: [123], addresses: ['192.0.2.1'], hosts: ['time.example.com'] },
      ],
    },
    listeners: DUAL_LISTENERS,
  },
  {
    name: 'an-exception-with-service-tags',
    subnet: {
      ranges: ['10.0.1.0/24', 'fd00:1::/64'],
      forward: [
        {
          name: 'instances',
          proto: 'udp',
          ports: [5831],
          serviceTags: ['AzureMachineLearning.EastUS2'],
          addresses: ['192.0.2.1'],
        },
      ],
    },
    // Side by side, one inside another, twice the same: as files have them.
    tagged: {
      instances: [
        '20.62.134.0/25',
        '20.62.134.128/25',
        '20.62.134.64/26',
        '20.62.134.0/25',
        '2603:1030:40c:1::/64',
        '4.152.0.0/31',
      ],
    },
  },
  {
    name: 'others-left-and-listeners-on-one-address',
    subnet: { ranges: ['10.0.1.0/24', 'fd00:1::/64'], others: 'leave', interface: 'eth0.5' },
    listeners: { tls: '10.0.9.4:3443', http: '[fd00:9::4]:3080' },
  },
  {
    name: 'listeners-behind-a-load-balancer-with-proxy-protocol',
    subnet: { ranges: ['10.0.1.0/24'] },
    proxies: ['10.0.9.0/28', '10.0.9.0/24', 'fd00:9::/64'],
  },
]
