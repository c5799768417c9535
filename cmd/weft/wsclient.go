package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// wsClientName is the name by which the program is Skydive's WebSocket client.
const wsClientName = "skydive-ws-client"

// newWSClient is the command skydive-ws-client with the arguments of Skydive's tool of
// that name. It differs in what a user hopes for: add, update and delete end when the
// analyzer has everything (weft acknowledges it), and say what was refused.
func newWSClient(sh *shell) *cobra.Command {
	conn := &connection{sh: sh}
	var host string
	var ssl bool
	root := groupCommand(wsClientName, "Speak to the WebSocket API of weft or Skydive")
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&conn.analyzer, "analyzer", "", "address of the analyzer, HOST:PORT (default 127.0.0.1:8082)")
	flags.StringVar(&host, "host", "Test", "client identifier")
	flags.BoolVar(&ssl, "ssl", false, "use TLS")
	flags.BoolVar(&conn.insecure, "insecure", false, "do not verify the analyzer's certificate")
	flags.StringVar(&conn.username, "username", "", "user to be")
	flags.StringVar(&conn.password, "password", "", "the user's password")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		// As there, --insecure alone does not switch TLS on.
		if !ssl {
			conn.insecure = false
		}
		conn.tls = ssl
		return nil
	}
	for _, mode := range []loadMode{loadAdd, loadUpdate, loadDelete} {
		root.AddCommand(&cobra.Command{
			Use:   mode.verb() + " FILE",
			Short: fmt.Sprintf("%s the nodes and edges of a JSON file", mode.effect()),
			Args:  exactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				l := load{conn: conn, mode: mode, host: host, clientType: "skydive-python-client"}
				return l.run(cmd.Context(), args[0])
			},
		})
	}
	listen := newListen(conn)
	listen.Short = "Print the messages of the analyzer"
	root.AddCommand(listen)
	return root
}
