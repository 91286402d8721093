// SPDX-License-Identifier: Apache-2.0

// Command bookinfo is a small book shop made of four services, each a role of
// this one program: productpage calls details and reviews, reviews calls
// ratings. Names, ports, labels and versions are those that users of service
// meshes know, so that manifests written for the well-known sample fit.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	headerWait  = 10 * time.Second
	shutdownMax = 20 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bookinfo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var address string
	root := &cobra.Command{
		Use:           "bookinfo",
		Short:         "Serve one role of the book shop",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&address, "address", ":9080", "address of the HTTP server")
	root.AddCommand(productpageCommand(&address), detailsCommand(&address), reviewsCommand(&address), ratingsCommand(&address))
	return root
}

func productpageCommand(address *string) *cobra.Command {
	up := upstreams{Details: "http://details:9080", Reviews: "http://reviews:9080", Ratings: "http://ratings:9080"}
	cmd := &cobra.Command{
		Use:   "productpage",
		Short: "The page of a book, and the API behind it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), *address, productpage(up))
		},
	}
	cmd.Flags().StringVar(&up.Details, "details", up.Details, "URL of the details service")
	cmd.Flags().StringVar(&up.Reviews, "reviews", up.Reviews, "URL of the reviews service")
	cmd.Flags().StringVar(&up.Ratings, "ratings", up.Ratings, "URL of the ratings service")
	return cmd
}

func detailsCommand(address *string) *cobra.Command {
	return &cobra.Command{
		Use:   "details",
		Short: "Facts about a book",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), *address, details()) },
	}
}

func reviewsCommand(address *string) *cobra.Command {
	version, ratings := "v1", "http://ratings:9080"
	cmd := &cobra.Command{
		Use:   "reviews",
		Short: "What readers say; v1 without stars, v2 with black ones, v3 with red ones",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := reviews(version, ratings)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), *address, h)
		},
	}
	cmd.Flags().StringVar(&version, "version", version, "v1, v2 or v3")
	cmd.Flags().StringVar(&ratings, "ratings", ratings, "URL of the ratings service")
	return cmd
}

func ratingsCommand(address *string) *cobra.Command {
	return &cobra.Command{
		Use:   "ratings",
		Short: "Stars per reader",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), *address, ratings()) },
	}
}

// serve runs until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, address string, h http.Handler) error {
	srv := &http.Server{Addr: address, Handler: h, ReadHeaderTimeout: headerWait}
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", address, err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownMax)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return fmt.Errorf("finish the requests in flight: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
