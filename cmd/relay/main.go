// Command relay publishes the committed changes of one PostgreSQL database to
// Kafka, as Debezium-format Avro records.
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
		Use:     "relay",
		Short:   "Publishes the committed changes of a PostgreSQL database to Kafka",
		Example: "  relay check -c relay.yaml\n  relay run -c relay.yaml",
	}
	root.AddCommand(newRunCommand(g), newResumeCommand(g), newAdoptCommand(g), newCheckCommand(g), newStatusCommand(g), newTailCommand(g), newSlotCommand(g), newReplayCommand(g), newSchemaCommand(g), newImportCommand())
	return g.Run(root, args)
}
