import {use, init} from 'echarts/core';
import {LineChart, ScatterChart, BarChart, CustomChart, HeatmapChart, ParallelChart} from 'echarts/charts';
import {GridComponent, TooltipComponent, LegendComponent, DataZoomInsideComponent, ParallelComponent, VisualMapContinuousComponent, TitleComponent, AriaComponent} from 'echarts/components';
import {CanvasRenderer} from 'echarts/renderers';
use([LineChart, ScatterChart, BarChart, CustomChart, HeatmapChart, ParallelChart, GridComponent, TooltipComponent, LegendComponent, DataZoomInsideComponent, ParallelComponent, VisualMapContinuousComponent, TitleComponent, AriaComponent, CanvasRenderer]);
export {init};
