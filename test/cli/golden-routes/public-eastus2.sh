# eastus2 (East US 2) is paired with centralus (Central US)
# newer files list `BatchNodeManagement` for routes and no longer its regional tags: if Azure refuses the one with a region, `--without-region` prints it without
# this traffic passes the gateway by, in both directions: what nodes send to these addresses themselves is neither judged nor logged there
# the inbound rules belong to the security group of the compute subnet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMLRoute --address-prefix AzureMachineLearning --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchRoute --address-prefix BatchNodeManagement.eastus2 --next-hop-type Internet
az network nsg rule create -g MyResourceGroup --nsg-name MyNetworkSecurityGroup -n AzureMLInbound --priority 200 --direction Inbound --access Allow --protocol Tcp --source-address-prefixes AzureMachineLearning --source-port-ranges '*' --destination-address-prefixes VirtualNetwork --destination-port-ranges 44224
az network nsg rule create -g MyResourceGroup --nsg-name MyNetworkSecurityGroup -n BatchInbound --priority 210 --direction Inbound --access Allow --protocol Tcp --source-address-prefixes BatchNodeManagement.eastus2 --source-port-ranges '*' --destination-address-prefixes VirtualNetwork --destination-port-ranges 29876-29877
