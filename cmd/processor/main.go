// Command processor applies the row changes that relays published to Kafka to a
// sink: in order, once, with what cannot be applied in a dead-letter topic.
//
// There is one file for each sub-command, and it only wires: what is done
// stands in the packages. Package cli has the commands config and version.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/cli"
)

// globals are the flags that every command has.
type globals = cli.Globals[settings]

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	g := &globals{}
	root := &cobra.Command{
		Use:     "processor",
		Short:   "Applies row changes from Kafka to a sink",
		Example: "  processor run -c processor.yaml\n  processor status -c processor.yaml",
	}
	root.AddCommand(newRunCommand(g), newStatusCommand(g), newLintCommand(g), newTestCommand(g), newStateCommand(g), newDlqCommand(g), newReplayCommand(g), newLeaveCommand(g))
	return g.Run(root, args)
}
