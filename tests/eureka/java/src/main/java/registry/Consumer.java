package registry;

import com.netflix.appinfo.InstanceInfo;
import com.netflix.discovery.EurekaClient;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.cloud.client.ServiceInstance;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.context.annotation.Import;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** A Java application that registers itself and finds others, with Netflix's own client and with Spring's. */
@EnableAutoConfiguration
@Import(Consumer.Web.class)
public class Consumer {
    public static void main(String[] args) {
        Parent.watch();
        System.setProperty("spring.config.name", "consumer");
        SpringApplication.run(Consumer.class, args);
    }

    @RestController
    static class Web {
        private final EurekaClient eureka;
        private final DiscoveryClient discovery;
        private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();

        Web(EurekaClient eureka, DiscoveryClient discovery) {
            this.eureka = eureka;
            this.discovery = discovery;
        }

        /** The endpoint that other applications call. */
        @GetMapping("/hello")
        String hello() {
            return "hello from java";
        }

        /** Lists the instances of a VIP that the Eureka client knows, one per line: id, status, host name, port, zone. */
        @GetMapping("/instances")
        String instances(@RequestParam("vip") String vip) {
            List<InstanceInfo> found = eureka.getInstancesByVipAddress(vip, false);
            return found.stream()
                .map(one -> String.join(" ", one.getInstanceId(), one.getStatus().name(), one.getHostName(),
                    String.valueOf(one.getPort()), one.getMetadata().getOrDefault("zone", "-")))
                .sorted()
                .collect(Collectors.joining("\n"));
        }

        /** Calls an instance of a VIP by its URI, as Spring's load balancer does. */
        @GetMapping("/call")
        ResponseEntity<String> call(@RequestParam("vip") String vip, @RequestParam("path") String path)
                throws Exception {
            List<ServiceInstance> found = discovery.getInstances(vip);
            if (found.isEmpty()) {
                return ResponseEntity.status(404).body("no instance of " + vip);
            }
            URI uri = URI.create(found.get(0).getUri() + path);
            HttpResponse<String> answer =
                http.send(HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(5)).build(),
                    HttpResponse.BodyHandlers.ofString());
            return ResponseEntity.status(answer.statusCode()).body(answer.body());
        }
    }
}
