package registry;

import java.io.IOException;

/** Exits when the test that started this process ends. However the test ends, its end of the pipe closes. */
final class Parent {
    private Parent() {}

    static void watch() {
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // The test never writes.
                }
            } catch (IOException error) {
                // Treat an error like the end of the pipe.
            }
            Runtime.getRuntime().halt(0);
        }, "parent");
        watcher.setDaemon(true);
        watcher.start();
    }
}
