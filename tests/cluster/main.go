// Package main is the control plane that the tests and the demo run: one program whose first
// argument picks the component. Every component is the real one, linked as a library.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/pkg/controller/job"
)

// podBackOffVariable shortens the time for which the Job controller waits before it replaces a failed pod (Go's
// notation, "1s"). Kubernetes has no flag for its 10 seconds, which would be most of each run of a crash test; the
// controller exports the variable for tests.
const podBackOffVariable = "DBMEDIC_JOB_POD_BACK_OFF"

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	component := os.Args[1]
	// Each component parses os.Args itself and expects its own name in the first place.
	os.Args = append([]string{component}, os.Args[2:]...)
	switch component {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		shortenPodBackOff()
		run(controllermanager.NewControllerManagerCommand())
	case "kubectl":
		run(kubectl.NewDefaultKubectlCommand())
	default:
		usage()
	}
}

func shortenPodBackOff() {
	text := os.Getenv(podBackOffVariable)
	if text == "" {
		return
	}
	backOff, err := time.ParseDuration(text)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", podBackOffVariable, err)
		os.Exit(2)
	}
	job.DefaultJobPodFailureBackOff = backOff
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: cluster etcd|kube-apiserver|kube-controller-manager|kubectl [flags]")
	os.Exit(2)
}
