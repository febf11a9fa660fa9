package main

// The NetworkPolicy agent of one node: watches pods, namespaces and policies,
// and rewrites one nftables table, atomically, whenever the rules change.
// It shows what policies intend; it is no proof of conformance.

import (
	"bytes"
	"context"
	"flag"
	"log"
	"os"
	"os/exec"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Changes come in swarms: so long is waited for the rest of one.
const gather = 150 * time.Millisecond

// watch fills the caches and returns a channel that speaks up on every change.
func watch(factory informers.SharedInformerFactory) <-chan struct{} {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			log.Fatal(err)
		}
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	poke()
	return changed
}

func snapshot(factory informers.SharedInformerFactory) *snapshotState {
	state := &snapshotState{namespaces: map[string]labels.Set{}}
	state.pods, _ = factory.Core().V1().Pods().Lister().List(labels.Everything())
	namespaces, _ := factory.Core().V1().Namespaces().Lister().List(labels.Everything())
	for _, namespace := range namespaces {
		state.namespaces[namespace.Name] = namespace.Labels
	}
	state.policies, _ = factory.Networking().V1().NetworkPolicies().Lister().List(labels.Everything())
	state.sort()
	return state
}

func load(ruleset string) error {
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin, nft.Stderr = bytes.NewBufferString(ruleset), os.Stderr
	return nft.Run()
}

func netpolMain(args []string) {
	flags := flag.NewFlagSet("netpol", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	node := flags.String("node", "", "name of this node")
	_ = flags.Parse(args)
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	last := ""
	for range watch(factory) {
		time.Sleep(gather)
		ruleset := snapshot(factory).ruleset(*node)
		for ruleset != last {
			if err := load(ruleset); err != nil {
				log.Printf("nft: %v\n%s", err, ruleset)
				time.Sleep(time.Second)
				continue
			}
			last = ruleset
			log.Printf("%d bytes of rules loaded", len(ruleset))
		}
	}
}
